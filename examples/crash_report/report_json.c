/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */
#include "report_json.h"

#include "alloc.h"
#include "json.h"
#include "modules.h"
#include "report.h"
#include "signals.h"
#include "text.h"

struct date {
    long year;
    unsigned month, day;
};

/* Years are counted from March here, so that the leap day is a year's last; gmtime_r(3) may take a lock. */
static struct date date_of(long days_since_1970)
{
    long days = days_since_1970 + 719468; /* since 0000-03-01 */
    long era = days / 146097;             /* of 400 years; times before year 0 do not occur */
    long day = days % 146097;
    long year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    long day_of_year = day - (365 * year + year / 4 - year / 100);
    long month = (5 * day_of_year + 2) / 153;
    return (struct date){
        .year = year + era * 400 + (month >= 10),
        .month = (unsigned)(month < 10 ? month + 3 : month - 9),
        .day = (unsigned)(day_of_year - (153 * month + 2) / 5 + 1),
    };
}

static void write_time(struct json *json, const struct timespec *time)
{
    char string[64];
    struct text text = text_on(string, sizeof(string));
    struct date date = date_of(time->tv_sec / 86400);
    uintmax_t second = (uintmax_t)(time->tv_sec % 86400);
    const struct {
        uintmax_t value;
        unsigned width;
        char end;
    } parts[] = {
        {(uintmax_t)date.year, 4, '-'},
        {date.month, 2, '-'},
        {date.day, 2, 'T'},
        {second / 3600, 2, ':'},
        {second / 60 % 60, 2, ':'},
        {second % 60, 2, '.'},
        {(uintmax_t)time->tv_nsec / 1000000, 3, 'Z'},
    };
    for (unsigned i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        text_unsigned(&text, parts[i].value, 10, parts[i].width);
        text_char(&text, parts[i].end);
    }
    json_string(json, "time", string);
}

static void write_program(struct json *json, const struct report *report)
{
    json_begin(json, "program", '{');
    json_string(json, "name", report->name);
    json_string(json, "executable", report->executable);
    json_integer(json, "pid", report->pid);
    json_integer(json, "tid", report->tid);
    json_end(json, '}');
}

static void write_signal(struct json *json, const siginfo_t *info)
{
    json_begin(json, "signal", '{');
    json_integer(json, "number", info->si_signo);
    json_string(json, "name", signals_name(info->si_signo));
    json_integer(json, "code", info->si_code);
    json_string(json, "code_name", signals_code_name(info));
    if (signals_is_fault(info))
        json_address(json, "address", (uintptr_t)info->si_addr);
    if (signals_is_sent(info))
        json_integer(json, "sender", info->si_pid);
    json_end(json, '}');
}

static void write_registers(struct json *json, const struct report_register *reg)
{
    json_begin(json, "registers", '{');
    for (; reg; reg = reg->next)
        json_address(json, reg->name, reg->value);
    json_end(json, '}');
}

static void write_frame(struct json *json, const struct report_frame *frame)
{
    json_begin_flat(json, NULL, '{');
    json_address(json, "pc", frame->pc);
    json_string(json, "symbol", frame->symbol);
    if (frame->symbol)
        json_integer(json, "symbol_offset", (intmax_t)frame->symbol_offset);
    json_string(json, "module", frame->module ? frame->module->path : NULL);
    if (frame->module)
        json_address(json, "module_offset", frame->pc - frame->module->bias);
    json_end(json, '}');
}

static void write_threads(struct json *json, const struct report *report)
{
    json_begin(json, "threads", '[');
    for (const struct report_thread *thread = report->threads; thread; thread = thread->next) {
        json_begin_flat(json, NULL, '{');
        json_integer(json, "tid", thread->tid);
        json_string(json, "name", thread->name);
        json_bool(json, "crashed", thread->tid == report->tid);
        json_end(json, '}');
    }
    json_end(json, ']');
}

static void write_modules(struct json *json, const struct module *module)
{
    json_begin(json, "modules", '[');
    for (; module; module = module->next) {
        json_begin_flat(json, NULL, '{');
        json_string(json, "path", module->path);
        json_address(json, "start", module->start);
        json_address(json, "end", module->end);
        json_bytes(json, "build_id", module->build_id, module->build_id_bytes);
        json_end(json, '}');
    }
    json_end(json, ']');
}

bool report_json_write(int fd, const struct report *report, bool complete)
{
    struct json json = {.fd = fd};
    json_begin(&json, NULL, '{');
    json_bool(&json, "complete", complete);
    json_string(&json, "problem", report->problem);
    json_string(&json, "allocator", report_allocator());
    write_time(&json, &report->time);
    write_program(&json, report);
    write_signal(&json, report->info);
    write_registers(&json, report->registers);
    json_begin(&json, "frames", '[');
    for (const struct report_frame *frame = report->frames; frame; frame = frame->next)
        write_frame(&json, frame);
    json_end(&json, ']');
    write_threads(&json, report);
    write_modules(&json, report->modules);
    json_end(&json, '}');
    return json_finish(&json);
}
