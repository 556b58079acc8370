/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */
#include "report.h"

#include <string.h>
#include <unistd.h>

#include "alloc.h"
#include "modules.h"

static struct report emergency_report;

struct report *report_create(const siginfo_t *info, const ucontext_t *context)
{
    struct report *report = report_alloc(sizeof(*report));
    const char *problem = report ? NULL : "out of memory";
    if (!report)
        report = &emergency_report;
    *report = (struct report){
        .info = info,
        .context = context,
        .pid = getpid(),
        .tid = gettid(),
        .problem = problem,
    };
    clock_gettime(CLOCK_REALTIME, &report->time);
    return report;
}

void report_problem(struct report *report, const char *problem)
{
    if (!report->problem)
        report->problem = problem;
}

static void destroy_frames(struct report_frame *frame)
{
    while (frame) {
        struct report_frame *next = frame->next;
        report_free(frame->symbol);
        report_free(frame);
        frame = next;
    }
}

static void destroy_threads(struct report_thread *thread)
{
    while (thread) {
        struct report_thread *next = thread->next;
        report_free(thread->name);
        report_free(thread);
        thread = next;
    }
}

static void destroy_registers(struct report_register *reg)
{
    while (reg) {
        struct report_register *next = reg->next;
        report_free(reg);
        reg = next;
    }
}

void report_destroy(struct report *report)
{
    destroy_frames(report->frames);
    destroy_threads(report->threads);
    destroy_registers(report->registers);
    modules_destroy(report->modules);
    report_free(report->name);
    report_free(report->executable);
    if (report != &emergency_report)
        report_free(report);
}
