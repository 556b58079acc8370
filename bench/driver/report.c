/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* The table for people: one block per workload, one column per allocator. */
#include "driver.h"

#include <inttypes.h>
#include <math.h>
#include <unistd.h>

#define LABEL_COLUMNS 22
#define VALUE_COLUMNS 12

static void print_value(FILE *out, double value, int decimals)
{
    char text[32];
    if (isfinite(value))
        snprintf(text, sizeof(text), "%.*f", decimals, value);
    else
        snprintf(text, sizeof(text), "n/a");
    fprintf(out, "%*s", VALUE_COLUMNS, text);
}

/* Small ones with a digit more: 0.004 is not the same as 0. */
static void print_ratio(FILE *out, double ratio)
{
    print_value(out, ratio, ratio < 0.095 ? 3 : 2);
}

static bool any_ratio(const struct bench_plan *plan, unsigned workload, unsigned threads, const char *against)
{
    for (unsigned i = 0; i < plan->contender_count; i++)
        if (isfinite(bench_samples_ratio(plan, i, workload, threads, BENCH_NS_PER_OP, against)))
            return true;
    return false;
}

static void print_ratios(const struct bench_plan *plan, FILE *out, unsigned workload, unsigned threads,
                         const char *against)
{
    if (!any_ratio(plan, workload, threads, against))
        return;
    fprintf(out, "     x %-*s", LABEL_COLUMNS - 7, against);
    for (unsigned i = 0; i < plan->contender_count; i++)
        print_ratio(out, bench_samples_ratio(plan, i, workload, threads, BENCH_NS_PER_OP, against));
    fputc('\n', out);
}

static void print_medians(const struct bench_plan *plan, FILE *out, unsigned workload, unsigned threads,
                          enum bench_metric metric)
{
    fprintf(out, "   %-*s", LABEL_COLUMNS - 3, bench_metrics[metric].label);
    for (unsigned i = 0; i < plan->contender_count; i++)
        print_value(out, bench_samples_spread(plan, i, workload, threads, metric).median,
                    bench_metrics[metric].decimals);
    fputc('\n', out);
}

static void print_block(const struct bench_plan *plan, FILE *out, unsigned workload, unsigned threads)
{
    unsigned n = plan->threads[threads];
    fprintf(out, "%2u thread%s\n", n, n == 1 ? "" : "s");
    print_medians(plan, out, workload, threads, BENCH_NS_PER_OP);
    print_ratios(plan, out, workload, threads, BENCH_REFERENCE_NAME);
    print_ratios(plan, out, workload, threads, BENCH_LIBC_NAME);
    print_medians(plan, out, workload, threads, BENCH_PEAK_KIB);
    if (bench_catalog[plan->workloads[workload]].memory)
        for (int metric = BENCH_PEAK_KIB + 1; metric < BENCH_METRICS; metric++)
            print_medians(plan, out, workload, threads, (enum bench_metric)metric);
}

static void print_workload(const struct bench_plan *plan, FILE *out, unsigned workload)
{
    const struct bench_workload_info *info = &bench_catalog[plan->workloads[workload]];
    fprintf(out, "\n%s: %s\n%*s", info->name, info->summary, LABEL_COLUMNS, "");
    for (unsigned i = 0; i < plan->contender_count; i++)
        fprintf(out, "%*s", VALUE_COLUMNS, plan->contenders[i].name);
    fputc('\n', out);
    for (unsigned threads = 0; threads < plan->thread_count; threads++)
        if (bench_catalog_runs_with(plan->workloads[workload], plan->threads[threads]))
            print_block(plan, out, workload, threads);
        else
            fprintf(out, "%2u threads: n/a, it takes one or an even number\n", plan->threads[threads]);
}

void bench_report_head(const struct bench_plan *plan, FILE *out)
{
    fprintf(out, "Medians. Rounds: %u of %u ms each. CPUs online: %ld. Threads: %s. Seed: %" PRIu64 ".\n", plan->rounds,
            plan->time_ms, sysconf(_SC_NPROCESSORS_ONLN), plan->pin ? "pinned" : "not pinned", plan->seed);
    fputs("An operation is one malloc and one free. ns per operation: wall time divided by the operations of one\n"
          "thread; with twice as many threads as CPUs, an allocator that scales perfectly shows twice the figure of\n"
          "one thread. Memory is counted from the state before the first allocation.\n",
          out);
    for (unsigned i = 0; i < plan->contender_count; i++)
        fprintf(out, "  %-12s%s (%s)\n", plan->contenders[i].name, plan->contenders[i].summary,
                plan->contenders[i].library);
    fflush(out);
}

void bench_report(const struct bench_plan *plan, FILE *out)
{
    for (unsigned workload = 0; workload < plan->workload_count; workload++)
        print_workload(plan, out, workload);
}
