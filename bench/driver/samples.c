/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* The results of all rounds, and what can be said about them. */
#include "driver.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One per contender, workload and thread count; room for every round. */
struct cell {
    unsigned count;
    struct bench_sample *samples;
};

static struct cell *cells;

const struct bench_metric_info bench_metrics[BENCH_METRICS] = {
    [BENCH_NS_PER_OP] = {"ns_per_op", "ns per operation", 1, true},
    [BENCH_PEAK_KIB] = {"peak_kib", "peak RSS, KiB", 0, true},
    [BENCH_PEAK_PER_LIVE] = {"peak_per_live", "  x live bytes", 2, false},
    [BENCH_END_KIB] = {"end_kib", "all freed, KiB", 0, true},
    [BENCH_END_PER_LIVE] = {"end_per_live", "  x live bytes", 2, false},
    [BENCH_TRIMMED_KIB] = {"trimmed_kib", "trimmed, KiB", 0, true},
    [BENCH_TRIMMED_PER_LIVE] = {"trimmed_per_live", "  x live bytes", 2, false},
};

static struct cell *cell_at(const struct bench_plan *plan, unsigned contender, unsigned workload, unsigned threads)
{
    return &cells[(contender * plan->workload_count + workload) * plan->thread_count + threads];
}

bool bench_samples_reserve(const struct bench_plan *plan)
{
    size_t count = (size_t)plan->contender_count * plan->workload_count * plan->thread_count;
    cells = calloc(count, sizeof(*cells));
    struct bench_sample *samples = calloc(count * plan->rounds, sizeof(*samples));
    if (cells == NULL || samples == NULL)
        return false;
    for (size_t i = 0; i < count; i++)
        cells[i].samples = samples + i * plan->rounds;
    return true;
}

void bench_samples_add(const struct bench_plan *plan, unsigned contender, unsigned workload, unsigned threads,
                       const struct bench_sample *sample)
{
    struct cell *cell = cell_at(plan, contender, workload, threads);
    cell->samples[cell->count++] = *sample;
}

static int compare(const void *left, const void *right)
{
    double l = *(const double *)left, r = *(const double *)right;
    return (l > r) - (l < r);
}

/* The value at a fraction of a sorted list, between its neighbours where it falls between two. */
static double quantile(const double *sorted, unsigned count, double fraction)
{
    double place = fraction * (count - 1);
    unsigned below = (unsigned)place;
    if (below + 1 >= count)
        return sorted[count - 1];
    return sorted[below] + (place - below) * (sorted[below + 1] - sorted[below]);
}

static unsigned collect(const struct cell *cell, enum bench_metric metric, double *values)
{
    unsigned count = 0;
    for (unsigned i = 0; i < cell->count; i++)
        if (!isnan(cell->samples[i].value[metric]))
            values[count++] = cell->samples[i].value[metric];
    return count;
}

struct bench_spread bench_samples_spread(const struct bench_plan *plan, unsigned contender, unsigned workload,
                                         unsigned threads, enum bench_metric metric)
{
    struct bench_spread spread = {0, (double)NAN, (double)NAN, (double)NAN, (double)NAN, (double)NAN};
    double *values = calloc(plan->rounds, sizeof(*values));
    if (values == NULL)
        return spread;
    spread.samples = collect(cell_at(plan, contender, workload, threads), metric, values);
    if (spread.samples > 0) {
        qsort(values, spread.samples, sizeof(*values), compare);
        spread.median = quantile(values, spread.samples, 0.5);
        spread.least = values[0];
        spread.first_quartile = quantile(values, spread.samples, 0.25);
        spread.third_quartile = quantile(values, spread.samples, 0.75);
        spread.most = values[spread.samples - 1];
    }
    free(values);
    return spread;
}

double bench_samples_ratio(const struct bench_plan *plan, unsigned contender, unsigned workload, unsigned threads,
                           enum bench_metric metric, const char *against)
{
    if (!bench_metrics[metric].compared)
        return (double)NAN;
    for (unsigned other = 0; other < plan->contender_count; other++)
        if (strcmp(plan->contenders[other].name, against) == 0)
            return bench_samples_spread(plan, contender, workload, threads, metric).median /
                   bench_samples_spread(plan, other, workload, threads, metric).median;
    return (double)NAN;
}
