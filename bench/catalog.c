/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

#include "catalog.h"

#include <string.h>

const struct bench_workload_info bench_catalog[BENCH_WORKLOADS] = {
    [BENCH_PAIR] = {.name = "pair", .summary = "a block of 64 B is allocated and freed at once"},
    [BENCH_BATCH] = {.name = "batch", .summary = "1000 blocks of 64 B are allocated, then freed in the same order"},
    [BENCH_CHURN] = {.name = "churn",
                     .summary = "10,000 live blocks, a random one is freed and allocated anew; 16-512 B, 1 % to 8 KiB"},
    [BENCH_EXCHANGE] = {.name = "exchange",
                        .summary = "threads swap 64 B blocks through shared slots and free what they get"},
    [BENCH_ONEWAY] = {.name = "oneway",
                      .summary = "half of the threads allocate 64 B blocks, the other half frees them",
                      .threads_in_pairs = true},
    [BENCH_FALSESHARE] = {.name = "falseshare",
                          .summary = "8 live 16 B blocks a thread, written all the time; some are freed by others"},
    [BENCH_PHASES] = {.name = "phases",
                      .summary = "eight phases of 64 MiB live, each with a size of its own, 32 B to 48,000 B",
                      .memory = true},
    [BENCH_PHASES_MIXED] = {.name = "phases-mixed",
                            .summary = "the same with eight ranges of random sizes, 16 B to 64 KiB",
                            .memory = true},
    [BENCH_LARGE] = {.name = "large",
                     .summary = "48 live blocks of 40 KiB to 4 MiB, a random one is freed and allocated anew"},
};

int bench_catalog_find(const char *name)
{
    for (int workload = 0; workload < BENCH_WORKLOADS; workload++)
        if (strcmp(bench_catalog[workload].name, name) == 0)
            return workload;
    return -1;
}

bool bench_catalog_runs_with(enum bench_workload_id workload, unsigned threads)
{
    return !bench_catalog[workload].threads_in_pairs || threads == 1 || threads % 2 == 0;
}
