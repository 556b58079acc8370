/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Which numbers of CPUs were ever used, so that work on all of them is bounded by their number. Bits are only ever set,
 * before what they stand for is used by others; a reader that misses one misses what is being made at this moment.
 */
#ifndef AOMA_PERCPU_CPU_SET_H
#define AOMA_PERCPU_CPU_SET_H

#include "cpu.h"

struct aoma_cpu_set {
    struct aoma_word word[AOMA_PERCPU_CPUS / 64];
};

AOMA_INLINE void aoma_cpu_set_add(struct aoma_cpu_set *set, unsigned cpu)
{
    uint64_t bit = (uint64_t)1 << (cpu % 64);

    if (aoma_unlikely(!(aoma_load_relaxed(&set->word[cpu / 64]) & bit))) /* a stale look sets it again */
        (void)aoma_fetch_or_full(&set->word[cpu / 64], bit);
}

/* The lowest member from cpu on; AOMA_PERCPU_CPUS: none. */
AOMA_INLINE unsigned aoma_cpu_set_next(const struct aoma_cpu_set *set, unsigned cpu)
{
    while (cpu < AOMA_PERCPU_CPUS) {
        uint64_t bits = aoma_load_acquire(&set->word[cpu / 64]) >> (cpu % 64);

        if (bits)
            return cpu + aoma_lowest_bit(bits);
        cpu = (cpu / 64 + 1) * 64;
    }
    return AOMA_PERCPU_CPUS;
}

#define AOMA_FOR_CPUS(cpu, set)                                                                                        \
    for (unsigned cpu = aoma_cpu_set_next(set, 0); cpu < AOMA_PERCPU_CPUS; cpu = aoma_cpu_set_next(set, cpu + 1))

#endif /* AOMA_PERCPU_CPU_SET_H */
