/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */
#include "guard.h"

#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

#include "report.h"

enum { WAIT_STEPS = 500, WAIT_STEP_NS = 10 * 1000 * 1000 };

/*
 * Process and thread that report, 0: none. With the process's id in it, what the child of a vfork (which shares this
 * memory) or of a fork left behind is told from a thread of this process. Lock-free as a 64-bit word.
 */
static _Atomic uint64_t owner;
static sigjmp_buf before_step;
static volatile sig_atomic_t in_step;

static uint64_t self(void)
{
    return (uint64_t)(uint32_t)getpid() << 32 | (uint32_t)gettid();
}

static bool enter_try(void)
{
    uint64_t seen = atomic_load(&owner);
    if (seen != 0 && seen >> 32 == self() >> 32)
        return false;
    return atomic_compare_exchange_strong(&owner, &seen, self());
}

/*
 * The process ends as soon as the reporting thread is done, and this thread with it. The bound is for a
 * reporter that got stuck: then the process still ends.
 */
bool guard_enter(void)
{
    const struct timespec step = {.tv_nsec = WAIT_STEP_NS};
    for (int i = 0; i < WAIT_STEPS; i++) {
        if (enter_try())
            return true;
        nanosleep(&step, NULL);
    }
    return false;
}

void guard_leave(void)
{
    atomic_store(&owner, 0);
}

bool guard_inside(void)
{
    return atomic_load(&owner) == self();
}

void guard_run(struct report *report, void (*step)(struct report *), const char *name)
{
    if (sigsetjmp(before_step, 1) == 0) {
        in_step = 1;
        step(report);
    } else {
        report_problem(report, name);
    }
    in_step = 0;
}

void guard_abandon_step(void)
{
    if (in_step) {
        in_step = 0;
        siglongjmp(before_step, 1);
    }
}
