/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * exchange: memory that wanders. 1024 slots shared by all threads; an operation allocates 64 bytes, writes the first 8,
 * swaps the block into a random slot by an atomic exchange and frees what was there. With n threads, (n - 1) / n of the
 * frees are of another thread's block. At one thread it degenerates to a churn of one size. The cost of the exchange
 * itself (an uncontended locked instruction, sometimes a cache line of another core's) is in the figure of every
 * allocator.
 */
#include "harness.h"

#define EXCHANGE_SLOTS 1024

static _Atomic(void *) slots[EXCHANGE_SLOTS];

static uint64_t step(struct bench_thread *thread, uint64_t ops)
{
    for (uint64_t i = 0; i < ops; i++) {
        void *block = bench_take(64);
        bench_touch(block);
        /* acq_rel: what is freed here was written by another thread before. */
        bench_free(
            atomic_exchange_explicit(&slots[bench_random_below(thread, EXCHANGE_SLOTS)], block, memory_order_acq_rel));
    }
    return ops;
}

static void leave(struct bench_thread *thread)
{
    for (size_t i = bench_share_begin(thread, EXCHANGE_SLOTS); i < bench_share_end(thread, EXCHANGE_SLOTS); i++)
        bench_free(atomic_exchange(&slots[i], NULL));
}

const struct bench_workload bench_exchange = {.step_ops = 256, .step = step, .leave = leave};
