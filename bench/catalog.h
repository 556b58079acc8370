/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* What the driver and the workers have to agree on: the workloads' names, their conditions and how a worker ends. */
#ifndef BENCH_CATALOG_H
#define BENCH_CATALOG_H

#include <stdbool.h>

enum bench_workload_id {
    BENCH_PAIR,
    BENCH_BATCH,
    BENCH_CHURN,
    BENCH_EXCHANGE,
    BENCH_ONEWAY,
    BENCH_FALSESHARE,
    BENCH_PHASES,
    BENCH_PHASES_MIXED,
    BENCH_LARGE,
    BENCH_WORKLOADS
};

struct bench_workload_info {
    const char *name;
    const char *summary;
    bool threads_in_pairs; /* one thread, or an even number of them */
    bool memory;           /* reports resident memory too; runs a fixed amount of work, whatever --time says */
};

extern const struct bench_workload_info bench_catalog[BENCH_WORKLOADS];

/* The workload of this name, or -1. */
int bench_catalog_find(const char *name);

/* Whether the workload has a meaning with that many threads. */
bool bench_catalog_runs_with(enum bench_workload_id workload, unsigned threads);

#define BENCH_MAX_THREADS 256u

/* The seed of every run unless told otherwise: all allocators see the very same sequence of sizes and slots. */
#define BENCH_DEFAULT_SEED 20040609u

#define BENCH_DEFAULT_TIMEOUT_S 60u

/* Exit statuses of a worker, besides 0 and argp's 64 for wrong usage. */
enum bench_exit { BENCH_EXIT_FAILED = 1, BENCH_EXIT_TIMEOUT = 2, BENCH_EXIT_NO_MEMORY = 3 };

#endif /* BENCH_CATALOG_H */
