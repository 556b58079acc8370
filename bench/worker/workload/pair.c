/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * pair: malloc(64), free of it at once. The block is not touched: what is measured is the two calls and nothing else.
 */
#include "harness.h"

static uint64_t step(struct bench_thread *thread, uint64_t ops)
{
    (void)thread;
    for (uint64_t i = 0; i < ops; i++)
        bench_free(bench_take(64));
    return ops;
}

const struct bench_workload bench_pair = {.step_ops = 1024, .step = step};
