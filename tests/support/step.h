/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Runs code one instruction at a time: after each a signal handler runs in it. By the trap flag on x86-64, by ptrace
 * elsewhere, or as AOMALLOC_TEST_STEP says (step_way.h; none: not at all).
 * Where neither can be had the test is skipped. In a virtual machine a step may take tens of microseconds, so only what
 * is to be examined should stand between step_on() and step_off().
 */
#ifndef AOMALLOC_TEST_STEP_H
#define AOMALLOC_TEST_STEP_H

#include "step_way.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * From now on on_step is called after each instruction that the calling thread executes between step_on() and
 * step_off(), until it returns false or the next call of step_with(). NULL: no more. It may itself step through
 * something, with another function.
 */
void step_with(bool (*on_step)(void));

/* The function that step_with() was given, for step_on(). */
extern _Thread_local bool (*step_function)(void);

/* At each step: the address of the next instruction, and how many of those so far were system calls. */
extern _Thread_local uintptr_t step_address;
extern _Thread_local unsigned step_system_calls;

/*
 * Ends the test as skipped unless instructions can be stepped through here. Threads that exist already but for the
 * caller cannot.
 */
void step_require(void);

/* The same, for one way; NULL: whichever there is. */
void step_require_way(const struct step_way *way);

/* What surrounds the stepped code stays outside: a handler may change the same variables. */
static inline void step_barrier(void)
{
    __asm__ volatile("" ::: "memory");
}

static inline void step_on(void)
{
    step_barrier();
    if (step_function)
        step_way->on();
}

static inline void step_off(void)
{
    if (step_way)
        step_way->off();
    step_barrier();
}

#endif /* AOMALLOC_TEST_STEP_H */
