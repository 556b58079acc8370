/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */
/*
 * What a crash report holds: linked structures on the report's heap, built by one thread inside its signal handler and
 * written as JSON from there. Any string may be NULL when it could not be found out or memory was short; a list may be
 * cut short for the same reasons, and then problem says so.
 */
#ifndef CRASH_REPORT_REPORT_H
#define CRASH_REPORT_REPORT_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>
#include <ucontext.h>

struct module;

struct report_register {
    struct report_register *next;
    const char *name;
    uintptr_t value;
};

struct report_frame {
    struct report_frame *next;
    uintptr_t pc;
    bool interrupted;            /* pc is the next instruction to run there, not a return address */
    const struct module *module; /* NULL: not in a file that is mapped */
    char *symbol;
    uintptr_t symbol_offset;
};

struct report_thread {
    struct report_thread *next;
    pid_t tid;
    char *name;
};

struct report {
    const siginfo_t *info;
    const ucontext_t *context;
    struct timespec time;
    pid_t pid;
    pid_t tid;
    char *name; /* of the crashed thread's program, as in /proc/self/comm */
    char *executable;
    struct report_register *registers;
    struct report_frame *frames;
    struct report_thread *threads;
    struct module *modules;
    const char *problem; /* the first thing that went wrong, NULL if nothing did */
};

/* Never NULL: when memory is short, a static report, which one thread at a time may use. */
struct report *report_create(const siginfo_t *info, const ucontext_t *context);
void report_destroy(struct report *report);

/* Keeps the first problem, which is the cause of later ones. */
void report_problem(struct report *report, const char *problem);

#endif
