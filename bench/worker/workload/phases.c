/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * phases: a program whose needs change. Eight phases, each with a size of its own (phases) or a range of random sizes
 * (phases-mixed); a phase allocates until 64 MiB of requested bytes are live, all threads together, and then frees them
 * all in shuffled order, so memory has to serve eight different sizes in turn. The first byte of each page and the
 * first 8 bytes of each block are written. With mixed sizes an allocator whose blocks are multiples of 16 bytes cannot
 * stay below 1.23 times the live bytes: that is what the range 16..48 rounds up to.
 *
 * The time is that of the allocating and of the freeing, by all threads from one barrier to the next; the shuffling is
 * left out. Resident memory is compared with what it was before the first allocation, when the threads already exist
 * and the harness's arrays are already resident. The peak is the kernel's high-water mark; the end is taken when all is
 * freed while all threads are still there, before and after the allocator is asked to trim, by one of the threads.
 */
#include "binding.h"
#include "harness.h"
#include "memory.h"

#include <pthread.h>
#include <sys/mman.h>

#define LIVE_BYTES ((size_t)64 << 20)
#define LEAST_BYTES 16
#define PAGE_BYTES 4096

struct range {
    uint32_t least, most;
};

#define PHASES 8

/* The order lets small follow large and large follow small, by far and by little. */
static const struct range single[PHASES] = {{32, 32},     {16000, 16000}, {200, 200},   {48000, 48000},
                                            {2000, 2000}, {80, 80},       {5000, 5000}, {640, 640}};

/* Twelve doublings in eight ranges. */
static const struct range mixed[PHASES] = {{16, 48},     {8193, 24576}, {129, 384},   {24577, 65536},
                                           {1025, 3072}, {49, 128},     {3073, 8192}, {385, 1024}};

static const struct range *ranges;

struct lot {
    void **blocks;
    size_t count;
};

static struct lot lots[BENCH_MAX_THREADS];
static pthread_barrier_t together;
static struct bench_result result;
static uint64_t timed_ns;
static long start_kib;

static void max_into(long *most, long value)
{
    if (value > *most)
        *most = value;
}

static void *touched_block(size_t size)
{
    volatile char *block = bench_take(size);
    for (size_t at = 0; at < size; at += PAGE_BYTES)
        block[at] = 1;
    bench_touch((void *)block);
    return (void *)block;
}

static void fill(struct bench_thread *thread, struct lot *lot, const struct range *range)
{
    size_t share = LIVE_BYTES / thread->threads;
    lot->count = 0;
    for (size_t live = 0; live < share;) {
        size_t size = bench_fit(bench_random_between(thread, range->least, range->most));
        lot->blocks[lot->count++] = touched_block(size);
        live += size;
    }
}

static void shuffle(struct bench_thread *thread, struct lot *lot)
{
    for (size_t i = lot->count - 1; i > 0; i--) {
        size_t other = bench_random_below(thread, (uint32_t)i + 1);
        void *block = lot->blocks[i];
        lot->blocks[i] = lot->blocks[other];
        lot->blocks[other] = block;
    }
}

static void empty(const struct lot *lot)
{
    for (size_t i = 0; i < lot->count; i++)
        bench_free(lot->blocks[i]);
}

/* The clock is thread 0's; between its two looks every thread does its part of the work. */
static void timed(struct bench_thread *thread, uint64_t begin)
{
    pthread_barrier_wait(&together);
    if (thread->index == 0)
        timed_ns += bench_now_ns() - begin;
}

static uint64_t begin_together(void)
{
    pthread_barrier_wait(&together);
    return bench_now_ns();
}

static void run_phase(struct bench_thread *thread, const struct range *range)
{
    struct lot *lot = &lots[thread->index];
    uint64_t begin = begin_together();
    fill(thread, lot, range);
    timed(thread, begin);

    if (thread->index == 0)
        max_into(&result.peak_kib, bench_resident_kib());
    atomic_fetch_add_explicit(&thread->done, lot->count, memory_order_relaxed);
    shuffle(thread, lot);

    begin = begin_together();
    empty(lot);
    timed(thread, begin);
}

static void measure_end(void)
{
    max_into(&result.peak_kib, bench_peak_resident_kib());
    result.peak_kib -= start_kib;
    result.end_kib = bench_resident_kib() - start_kib;
    result.trimmed = bench_binding_trim();
    result.trimmed_kib = bench_resident_kib() - start_kib;
}

static void *phases_thread(void *argument)
{
    struct bench_thread *thread = argument;
    pthread_barrier_wait(&together);
    if (thread->index == 0)
        start_kib = bench_resident_kib();
    for (size_t phase = 0; phase < PHASES; phase++)
        run_phase(thread, &ranges[phase]);
    if (thread->index == 0)
        measure_end();
    pthread_barrier_wait(&together);
    return NULL;
}

static void prepare(unsigned threads, enum bench_workload_id workload)
{
    ranges = workload == BENCH_PHASES ? single : mixed;
    size_t most = LIVE_BYTES / threads / LEAST_BYTES + 1;
    for (unsigned i = 0; i < threads; i++)
        lots[i].blocks = bench_map_resident(most * sizeof(void *));
    pthread_barrier_init(&together, NULL, threads);
}

struct bench_result bench_phases_run(const struct bench_options *options)
{
    prepare(options->threads, options->workload);
    struct bench_thread *threads = bench_threads_start(options, phases_thread);
    bench_threads_join();
    for (unsigned i = 0; i < options->threads; i++)
        result.ops += threads[i].done;
    result.live_kib = (long)(LIVE_BYTES / 1024);
    result.ns_per_op = (double)timed_ns * options->threads / (double)result.ops;
    return result;
}
