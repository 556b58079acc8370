/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * churn: a heap in its steady state. 10,000 slots, each holding a live block; n threads own 10,000 / n of them each, so
 * the number of live blocks is the same at any number of threads. An operation picks a random slot of the thread's own,
 * frees its block and puts a new one there: 99 % of 16..512 bytes, 1 % of 513..8192, uniform in each range. The first 8
 * bytes of a new block are written. All frees are local.
 */
#include "harness.h"

#define CHURN_SLOTS 10000

static void *slots[CHURN_SLOTS];

/* From a uniform number: its hundredth decides the range, the rest where in it. */
static size_t random_size(uint32_t random)
{
    uint64_t hundredths = (uint64_t)random * 100;
    uint32_t rest = (uint32_t)hundredths;

    return hundredths >> 32 == 0 ? bench_scale(rest, 513, 8192) : bench_scale(rest, 16, 512);
}

static void *random_block(uint32_t random)
{
    void *block = bench_take(random_size(random));
    bench_touch(block);
    return block;
}

static void enter(struct bench_thread *thread)
{
    for (size_t i = bench_share_begin(thread, CHURN_SLOTS); i < bench_share_end(thread, CHURN_SLOTS); i++)
        slots[i] = random_block(bench_random(thread));
}

static uint64_t step(struct bench_thread *thread, uint64_t ops)
{
    void **own = slots + bench_share_begin(thread, CHURN_SLOTS);
    uint32_t count = (uint32_t)(slots + bench_share_end(thread, CHURN_SLOTS) - own);
    uint64_t state = thread->random; /* a copy, so that the compiler may keep it in a register */

    for (uint64_t i = 0; i < ops; i++) {
        uint64_t random = bench_random_next(&state);
        void **slot = &own[(random >> 32) * count >> 32];

        bench_free(*slot);
        *slot = random_block((uint32_t)random);
    }
    thread->random = state;
    return ops;
}

static void leave(struct bench_thread *thread)
{
    for (size_t i = bench_share_begin(thread, CHURN_SLOTS); i < bench_share_end(thread, CHURN_SLOTS); i++)
        bench_free(slots[i]);
}

const struct bench_workload bench_churn = {.step_ops = 256, .enter = enter, .step = step, .leave = leave};
