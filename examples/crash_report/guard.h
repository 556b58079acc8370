/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */
/*
 * Runs the steps of a report one by one, so that a fault in one of them (a smashed stack that cannot be unwound, a file
 * that is truncated while it is read) ends that step alone.
 */
#ifndef CRASH_REPORT_GUARD_H
#define CRASH_REPORT_GUARD_H

#include <stdbool.h>

struct report;

/* Waits while another thread reports, but at most five seconds. False: this thread is not to report. */
bool guard_enter(void);
void guard_leave(void);
/* Whether the calling thread is between guard_enter and guard_leave. */
bool guard_inside(void);

/* Records a fault as the report's problem. */
void guard_run(struct report *report, void (*step)(struct report *), const char *name);

/* For the handler, on a nested fault: goes back to guard_run; returns if no step was running. */
void guard_abandon_step(void);

#endif
