/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * The table for programs: one line per workload, thread count,
 * allocator and metric. main.c's --help documents the columns.
 */
#include "driver.h"

#include <math.h>

static void print_number(FILE *out, double value)
{
    if (isfinite(value))
        fprintf(out, ",%.4f", value);
    else
        fputc(',', out);
}

static void print_line(const struct bench_plan *plan, FILE *out, unsigned contender, unsigned workload,
                       unsigned threads, enum bench_metric metric)
{
    struct bench_spread spread = bench_samples_spread(plan, contender, workload, threads, metric);
    if (spread.samples == 0)
        return;
    fprintf(out, "%s,%u,%s,%s,%u", bench_catalog[plan->workloads[workload]].name, plan->threads[threads],
            plan->contenders[contender].name, bench_metrics[metric].name, spread.samples);
    print_number(out, spread.median);
    print_number(out, spread.least);
    print_number(out, spread.first_quartile);
    print_number(out, spread.third_quartile);
    print_number(out, spread.most);
    print_number(out, bench_samples_ratio(plan, contender, workload, threads, metric, BENCH_REFERENCE_NAME));
    print_number(out, bench_samples_ratio(plan, contender, workload, threads, metric, BENCH_LIBC_NAME));
    fputc('\n', out);
}

static void print_contender(const struct bench_plan *plan, FILE *out, unsigned contender, unsigned workload,
                            unsigned threads)
{
    for (int metric = 0; metric < BENCH_METRICS; metric++)
        print_line(plan, out, contender, workload, threads, (enum bench_metric)metric);
}

void bench_csv(const struct bench_plan *plan, FILE *out)
{
    fputs("workload,threads,allocator,metric,samples,median,min,q1,q3,max,vs_reference,vs_libc\n", out);
    for (unsigned workload = 0; workload < plan->workload_count; workload++)
        for (unsigned threads = 0; threads < plan->thread_count; threads++)
            for (unsigned contender = 0; contender < plan->contender_count; contender++)
                print_contender(plan, out, contender, workload, threads);
}
