/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Runs code one instruction at a time: x86's trap flag raises SIGTRAP after each, and the kernel clears the flag while
 * the handler runs. Only on x86-64; elsewhere, and where no trap arrives, the test is skipped. In a virtual machine a
 * step may take tens of microseconds, so only what is to be examined should stand between step_on() and step_off().
 */
#ifndef AOMALLOC_TEST_STEP_H
#define AOMALLOC_TEST_STEP_H

#include <stdbool.h>
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

/* Ends the test as skipped unless instructions can be stepped through here. */
void step_require(void);

/* What surrounds the stepped code stays outside: a handler may change the same variables. */
static inline void step_barrier(void)
{
    __asm__ volatile("" ::: "memory");
}

static inline void step_on(void)
{
#if defined(__x86_64__)
    step_barrier();
    if (step_function)
        __builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() | 0x100u);
#endif
}

static inline void step_off(void)
{
#if defined(__x86_64__)
    __builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() & ~0x100ull);
    step_barrier();
#endif
}

#endif /* AOMALLOC_TEST_STEP_H */
