/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* The process by which others are stepped, see step_ptrace.c. */
#ifndef AOMALLOC_TEST_STEP_TRACER_H
#define AOMALLOC_TEST_STEP_TRACER_H

#include <stdbool.h>
#include <sys/types.h>

/* Attaches to the thread, writes 0 or the error number to answer, and ends with the last that it traces. */
_Noreturn void step_trace(pid_t thread, int answer);

/*
 * Of the processor. If the next instruction of the thread, which is stopped, begins a sequence that would begin again
 * for ever if it were stepped through: sets breakpoints, of this thread alone, at all its ends. False: an instruction
 * like any other.
 */
bool step_sequence_begins(pid_t thread);
void step_sequence_ended(pid_t thread);

#endif /* AOMALLOC_TEST_STEP_TRACER_H */
