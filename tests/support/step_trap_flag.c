/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * x86-64: while the trap flag is set each instruction raises SIGTRAP. It is in a register, so the kernel clears it
 * for handlers and sets it again with what they return to.
 */

#define _GNU_SOURCE
#include "step_way.h"

#include <errno.h>
#include <stddef.h>

#define TRAP_FLAG 0x100ull

static const char *begin(void)
{
    return NULL;
}

static void on(void)
{
    __builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() | TRAP_FLAG);
}

static void off(void)
{
    __builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() & ~TRAP_FLAG);
}

static void on_trap(int number, siginfo_t *information, void *argument)
{
    ucontext_t *context = argument;
    int kept = errno;

    (void)number;
    (void)information;
    if (!step_took(context))
        context->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)TRAP_FLAG;
    errno = kept;
}

const struct step_way step_by_trap_flag = {"trap_flag", begin, on, off, on_trap};
