/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Each virtual CPU is a thread to the variant: what is thread-local is kept and put back when another goes on. A thread
 * goes by the address of its pointer in the table of owners, and that is the same for all here, so the one that goes on
 * has it there and all others are called by what is kept of them.
 */
#include "simulation.h"

#include "catalog.h"
#include "owner.h"

const char *const bench_cpu_mode = "tls";

static struct kept {
    struct aoma_front *front;
    unsigned skip;
} kept[BENCH_MAX_THREADS];

static unsigned on;

void bench_cpu_start(void)
{
}

/* Not by the functions of atomics.h, which would count it. */
static void rename_owner(unsigned number, uintptr_t from, uintptr_t to)
{
    if (aoma_thread_owners[number].bits == from)
        aoma_thread_owners[number].bits = to;
}

/* The only front that a CPU has or, in the middle of getting one, any. */
static void rename_owners(const struct aoma_front *front, uintptr_t from, uintptr_t to)
{
    if (front) {
        rename_owner((unsigned)aoma_hint_get(&aoma_thread_head(front)->number), from, to);
        return;
    }
    for (unsigned number = 0; number < AOMA_NUMBERS && aoma_front_made(number); number++)
        rename_owner(number, from, to);
}

void bench_cpu_set(unsigned cpu)
{
    uintptr_t myself = (uintptr_t)&aoma_thread_front;

    rename_owners(aoma_thread_front, myself, (uintptr_t)&kept[on]);
    kept[on] = (struct kept){aoma_thread_front, aoma_thread_skip};
    on = cpu;
    aoma_thread_front = kept[cpu].front;
    aoma_thread_skip = kept[cpu].skip;
    rename_owners(aoma_thread_front, (uintptr_t)&kept[cpu], myself);
}
