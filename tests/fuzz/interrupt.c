/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* Calls that something comes between: x86's trap flag raises SIGTRAP after each instruction. */

#define _GNU_SOURCE
#include "world.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <ucontext.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define STEPS 0
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STEPS 0
#endif
#if !defined(STEPS) && defined(__x86_64__)
#define STEPS 800 /* of one input: each takes a microsecond or two, in a virtual machine ten */
#elif !defined(STEPS)
#define STEPS 0
#endif

static void (*action)(void);
static unsigned steps_left, windows_left, steps_of_input;
static bool is_acting, is_in_call; /* in_call: of those that may be interrupted */

static void act(void)
{
    void (*now)(void) = action;
    int kept = errno;

    action = NULL;
    steps_left = windows_left = 0;
    is_acting = true;
    now();
    is_acting = false;
    errno = kept;
}

static void on_trap(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info;
    if (steps_left > 1) {
        steps_left--;
        return;
    }
#if STEPS
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~0x100ll;
#else
    (void)context;
#endif
    if (steps_left)
        act();
}

static void catch_traps(void)
{
    static bool done;
    struct sigaction trap;

    if (done)
        return;
    memset(&trap, 0, sizeof trap);
    trap.sa_sigaction = on_trap;
    trap.sa_flags = SA_SIGINFO;
    FUZZ_CHECK(sigaction(SIGTRAP, &trap, NULL) == 0);
    done = true;
}

void interrupt_nothing(void)
{
    action = NULL;
    steps_left = windows_left = 0;
    steps_of_input = STEPS;
    is_acting = is_in_call = false;
}

void interrupt_after(unsigned instructions, void (*act_then)(void))
{
    if (is_acting || instructions == 0 || instructions > steps_of_input)
        return;
    catch_traps();
    steps_of_input -= instructions;
    steps_left = instructions;
    action = act_then;
}

void interrupt_in_window(unsigned windows, void (*act_then)(void))
{
    if (is_acting || windows == 0)
        return;
    windows_left = windows;
    action = act_then;
}

void interrupt_hold(void)
{
#if STEPS
    __builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() & ~0x100ull);
#endif
}

void interrupt_release(void)
{
#if STEPS
    if (steps_left && is_in_call && !is_acting)
        __builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() | 0x100u);
#endif
}

void call_begin(void)
{
    errno = ERRNO_SENTINEL;
    is_in_call = true;
    interrupt_release();
}

void call_end(void)
{
    if (is_acting)
        return;
    interrupt_hold();
    is_in_call = false;
    steps_left = windows_left = 0;
    action = NULL;
}

void call_in_window(void)
{
    if (windows_left && !is_acting && --windows_left == 0)
        act();
}
