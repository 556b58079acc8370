/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * aomalloc-bench: runs workers and tells what they found. main.c reads the options and holds the loop over rounds,
 * contenders.c finds the allocators, spawn.c runs one worker, samples.c keeps the results, report.c and csv.c print
 * them.
 */
#ifndef BENCH_DRIVER_DRIVER_H
#define BENCH_DRIVER_DRIVER_H

#include "catalog.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define BENCH_MAX_CONTENDERS 16
#define BENCH_MAX_THREAD_COUNTS 16

#define BENCH_REFERENCE_NAME "reference"
#ifdef __GLIBC__
#define BENCH_LIBC_NAME "glibc"
#else
#define BENCH_LIBC_NAME "libc"
#endif

/* An allocator and the way to run it. */
struct bench_contender {
    const char *name;
    const char *summary;
    char *worker;  /* path of the binary */
    char *preload; /* path of a library to put before malloc, or NULL */
    char *library; /* what the worker says that it measures */
};

enum bench_metric {
    BENCH_NS_PER_OP,
    BENCH_PEAK_KIB,
    BENCH_PEAK_PER_LIVE,
    BENCH_END_KIB,
    BENCH_END_PER_LIVE,
    BENCH_TRIMMED_KIB,
    BENCH_TRIMMED_PER_LIVE,
    BENCH_METRICS
};

struct bench_metric_info {
    const char *name;
    const char *label;
    int decimals;
    bool compared; /* a ratio against another allocator says something */
};

extern const struct bench_metric_info bench_metrics[BENCH_METRICS];

/* One run of a worker; NAN for what it did not report. */
struct bench_sample {
    double value[BENCH_METRICS];
};

struct bench_plan {
    const char *worker_dir;
    struct bench_contender contenders[BENCH_MAX_CONTENDERS];
    unsigned contender_count;
    enum bench_workload_id workloads[BENCH_WORKLOADS];
    unsigned workload_count;
    unsigned threads[BENCH_MAX_THREAD_COUNTS];
    unsigned thread_count;
    unsigned rounds, time_ms, timeout_s;
    uint64_t seed;
    bool pin;
};

struct bench_spread {
    unsigned samples; /* 0: all others are NAN */
    double median, least, first_quartile, third_quartile, most;
};

/* contenders.c: adds the named allocator, or says on standard error why not. */
enum bench_found { BENCH_FOUND, BENCH_MISSING, BENCH_UNKNOWN };
enum bench_found bench_contender_add(struct bench_plan *plan, const char *name);
void bench_contender_add_all(struct bench_plan *plan);
void bench_contender_list(FILE *out);

/* spawn.c: false, and a sentence on standard error, when the worker did not do as told. */
bool bench_spawn(const struct bench_plan *plan, const struct bench_contender *contender,
                 enum bench_workload_id workload, unsigned threads, struct bench_sample *sample);
/* What serves the calls, to be freed; NULL when the worker could not be run. */
char *bench_spawn_identify(const char *worker, const char *preload);

/* samples.c; workload and threads are indices into the plan's lists. */
bool bench_samples_reserve(const struct bench_plan *plan);
void bench_samples_add(const struct bench_plan *plan, unsigned contender, unsigned workload, unsigned threads,
                       const struct bench_sample *sample);
struct bench_spread bench_samples_spread(const struct bench_plan *plan, unsigned contender, unsigned workload,
                                         unsigned threads, enum bench_metric metric);
/* The median of a contender divided by that of the one named; NAN where either is missing. */
double bench_samples_ratio(const struct bench_plan *plan, unsigned contender, unsigned workload, unsigned threads,
                           enum bench_metric metric, const char *against);

/* report.c, csv.c */
void bench_report_head(const struct bench_plan *plan, FILE *out);
void bench_report(const struct bench_plan *plan, FILE *out);
void bench_csv(const struct bench_plan *plan, FILE *out);

#endif /* BENCH_DRIVER_DRIVER_H */
