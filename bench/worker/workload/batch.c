/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * batch: 1000 x malloc(64), then free of all in the order of their allocation. Blocks are not touched. More than most
 * thread caches hold of one size, so the way behind them is measured too.
 */
#include "harness.h"

#define BATCH_BLOCKS 1000

struct batch {
    _Alignas(BENCH_APART_BYTES) void *blocks[BATCH_BLOCKS];
};

static struct batch batches[BENCH_MAX_THREADS];

static uint64_t step(struct bench_thread *thread, uint64_t ops)
{
    void **blocks = batches[thread->index].blocks;
    for (uint64_t i = 0; i < ops; i++)
        blocks[i] = bench_take(64);
    for (uint64_t i = 0; i < ops; i++)
        bench_free(blocks[i]);
    return ops;
}

const struct bench_workload bench_batch = {.step_ops = BATCH_BLOCKS, .step = step};
