/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

#define _GNU_SOURCE
#include "step.h"
#include "context.h"
#include "test.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What an atomic operation takes at most, with what surrounds it. */
enum { ATOMIC_STEPS_MAX = 1000 };

_Thread_local bool (*step_function)(void);
_Thread_local unsigned step_system_calls;
_Thread_local uintptr_t step_address;
const struct step_way *step_way;

static unsigned traps;

bool step_took(const ucontext_t *context)
{
    step_address = context_address(context);
    step_system_calls += context_is_at_system_call(context);
    bool goes_on = step_function && step_function();
    if (!goes_on)
        step_function = NULL;
    return goes_on;
}

void step_with(bool (*on_step)(void))
{
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_sigaction = step_way->on_trap;
    action.sa_flags = SA_SIGINFO | SA_NODEFER; /* a handler may be stepped through, too */
    sigaction(SIGTRAP, &action, NULL);
    step_function = on_step;
}

static bool count_trap(void)
{
    return ++traps < ATOMIC_STEPS_MAX;
}

/* Where a load that reserves and a store that needs the reservation are stepped through they begin again for ever. */
static const char *try_an_atomic_operation(void)
{
    static atomic_uint counter;

    traps = 0;
    step_with(count_trap);
    step_on();
    atomic_fetch_add(&counter, 1);
    step_off();
    step_with(NULL);
    if (traps == 0)
        return "no trap after each instruction on this machine";
    return traps == ATOMIC_STEPS_MAX ? "an atomic operation never succeeds where it is stepped through" : NULL;
}

static const char *begin(const struct step_way *way)
{
    const char *refusal = way->begin();

    if (refusal)
        return refusal;
    step_way = way;
    return try_an_atomic_operation();
}

static const struct step_way *const ways[] = {&step_by_trap_flag, &step_by_ptrace};
enum { WAYS = sizeof ways / sizeof ways[0] };

static const struct step_way *wanted_way(void)
{
    const char *wanted = getenv("AOMALLOC_TEST_STEP");

    if (!wanted)
        return NULL;
    if (strcmp(wanted, "none") == 0)
        test_skip("AOMALLOC_TEST_STEP=none: nothing is to be stepped through");
    for (size_t i = 0; i < WAYS; i++)
        if (strcmp(wanted, ways[i]->name) == 0)
            return ways[i];
    test_fail(__FILE__, __LINE__, "AOMALLOC_TEST_STEP is neither trap_flag, ptrace nor none");
}

void step_require_way(const struct step_way *way)
{
    const char *refusal = NULL;

    if (test_instrumented())
        test_skip("a sanitizer or valgrind does not step through single instructions");
    for (size_t i = 0; i < WAYS; i++) {
        if (way && way != ways[i])
            continue;
        refusal = begin(ways[i]);
        if (!refusal)
            return;
    }
    test_skip(refusal);
}

void step_require(void)
{
    step_require_way(wanted_way());
}
