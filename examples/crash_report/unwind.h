/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */
/* Registers and frames of the interrupted code, found by libunwind from the signal's ucontext. */
#ifndef CRASH_REPORT_UNWIND_H
#define CRASH_REPORT_UNWIND_H

struct report;

void unwind_registers(struct report *report);
/* Needs report->modules. */
void unwind_frames(struct report *report);
/* Names the frames; apart from unwind_frames, so that a fault here leaves the frames. */
void unwind_symbols(struct report *report);

/* Lets libunwind do its one-time work while that is safe: it takes a lock, opens a pipe and reads the environment. */
void unwind_install(void);

#endif
