/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

#define _GNU_SOURCE
#include "step.h"
#include "test.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <ucontext.h>

_Thread_local bool (*step_function)(void);
_Thread_local unsigned step_system_calls;
_Thread_local uintptr_t step_address;

static unsigned traps;

static void stop_stepping(ucontext_t *context)
{
    step_function = NULL;
#if defined(__x86_64__)
    context->uc_mcontext.gregs[REG_EFL] &= ~0x100ll;
#else
    (void)context;
#endif
}

/* The instruction that comes next. */
static void note_instruction(const ucontext_t *context)
{
#if defined(__x86_64__)
    static const unsigned char system_call[] = {0x0f, 0x05};

    step_address = (uintptr_t)context->uc_mcontext.gregs[REG_RIP];
    if (memcmp((const void *)step_address, system_call, sizeof system_call) == 0)
        step_system_calls++;
#else
    (void)context;
#endif
}

static void on_trap(int number, siginfo_t *info, void *context)
{
    int kept = errno;
    (void)number;
    (void)info;
    note_instruction(context);
    if (!step_function || !step_function())
        stop_stepping(context);
    errno = kept;
}

void step_with(bool (*on_step)(void))
{
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_trap;
    action.sa_flags = SA_SIGINFO | SA_NODEFER; /* a handler may be stepped through, too */
    sigaction(SIGTRAP, &action, NULL);
    step_function = on_step;
}

static bool count_trap(void)
{
    return ++traps < 3;
}

void step_require(void)
{
    if (test_instrumented())
        test_skip("a sanitizer or valgrind does not step through single instructions");
    step_with(count_trap);
    step_on();
    __asm__ volatile("nop; nop; nop; nop");
    step_off();
    step_with(NULL);
    if (traps == 0)
        test_skip("no trap after each instruction on this machine");
}
