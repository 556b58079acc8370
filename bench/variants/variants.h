/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* What tools/compare_variants.py measures beside the workloads of bench/worker: each in a process of its own. */
#ifndef BENCH_VARIANTS_H
#define BENCH_VARIANTS_H

#include <stddef.h>
#include <stdint.h>

struct variants_options {
    unsigned threads;
    unsigned blocks;   /* that each thread takes at once */
    unsigned rounds;   /* idle: how often each does; storm: threads that each starter starts; handler: signals;
                        chain: blocks */
    unsigned rate_hz;  /* handler: of the signals */
    unsigned priority; /* handler: SCHED_FIFO; 0: as all threads */
};

/* Each prints its figures as key=value pairs, without a line's end. */
void variants_chain(const struct variants_options *options);
void variants_idle(const struct variants_options *options);
void variants_storm(const struct variants_options *options);
void variants_handler(const struct variants_options *options);

/* 16 to 1024 bytes, each power of two as likely as the next. */
static inline size_t variants_size(uint64_t random)
{
    size_t most = (size_t)32 << (random >> 32) % 6;

    return most / 2 + (size_t)random % (most / 2) + 1;
}

#endif /* BENCH_VARIANTS_H */
