/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* What a workload gets from the worker: its threads, random numbers, and the allocator by way of bench_take. */
#ifndef BENCH_WORKER_HARNESS_H
#define BENCH_WORKER_HARNESS_H

#include "bench_binding.h"
#include "catalog.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Two cache lines: the prefetcher of x86-64 fetches lines in pairs. */
#define BENCH_APART_BYTES 128

struct bench_thread {
    _Alignas(BENCH_APART_BYTES)
        atomic_uint_fast64_t done; /* operations finished; written by the thread, read by main */
    unsigned index;
    unsigned threads; /* how many there are */
    uint64_t random;  /* state of its generator, never 0 */
};

/*
 * Without --ops: every thread calls step until it is told to stop, and the operations between two looks at the clock
 * count. With --ops N: every thread does N operations and ends.
 */
struct bench_workload {
    uint64_t step_ops; /* operations in a step: enough to hide the harness, few enough to end in time */
    void (*enter)(struct bench_thread *thread);                  /* in each thread before the start; may be NULL */
    uint64_t (*step)(struct bench_thread *thread, uint64_t ops); /* does up to ops operations, returns how many */
    void (*leave)(struct bench_thread *thread);                  /* in each thread at its end; may be NULL */
};

extern const struct bench_workload bench_pair, bench_batch, bench_churn, bench_exchange, bench_oneway, bench_falseshare,
    bench_large;

struct bench_options {
    enum bench_workload_id workload;
    unsigned threads;
    unsigned time_ms;
    unsigned timeout_s;
    bool pin;     /* each thread to a CPU of its own, as far as there are enough */
    uint64_t ops; /* per thread; 0: run for time_ms */
    uint64_t seed;
};

/*
 * What a run gives; memory is in KiB above the state before the first allocation, and only there if live_kib is not 0.
 */
struct bench_result {
    double ns_per_op;
    uint64_t ops; /* of all threads together */
    long live_kib, peak_kib, end_kib, trimmed_kib;
    bool trimmed;
};

struct bench_result bench_timed_run(const struct bench_workload *workload, const struct bench_options *options);
struct bench_result bench_phases_run(const struct bench_options *options);

/* Threads with index and random filled in; start is run in each of them. */
struct bench_thread *bench_threads_start(const struct bench_options *options, void *(*start)(void *thread));
void bench_threads_join(void);

/* Set when the time is over. A step that may wait for another thread has to look at it. */
extern atomic_bool bench_stopping;

/* For who waits for another thread: gives it the CPU. */
void bench_yield(void);

uint64_t bench_now_ns(void);

/* Ends the process with a sentence on standard error. */
_Noreturn void bench_fail(int status, const char *sentence);

/* bench_malloc that ends the run when there is no memory. */
static inline void *bench_take(size_t size)
{
    void *block = bench_malloc(size);
    if (block == NULL)
        bench_fail(BENCH_EXIT_NO_MEMORY, "the allocator returned NULL");
    return block;
}

/* Vigna's xorshift64*: cheap beside any malloc, and good enough in the upper bits of each half. */
static inline uint64_t bench_random_next(uint64_t *state)
{
    uint64_t x = *state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return x * 0x2545f4914f6cdd1du;
}

static inline uint32_t bench_random(struct bench_thread *thread)
{
    return (uint32_t)(bench_random_next(&thread->random) >> 32);
}

/* Uniform in 0 .. bound - 1, by a multiplication since a division would cost as much as a malloc. */
static inline uint32_t bench_random_below(struct bench_thread *thread, uint32_t bound)
{
    return (uint32_t)(((uint64_t)bench_random(thread) * bound) >> 32);
}

/* From a uniform 32-bit number to one in least .. most. */
static inline uint32_t bench_scale(uint32_t random, uint32_t least, uint32_t most)
{
    return least + (uint32_t)((uint64_t)random * (most - least + 1) >> 32);
}

static inline uint32_t bench_random_between(struct bench_thread *thread, uint32_t least, uint32_t most)
{
    return bench_scale(bench_random(thread), least, most);
}

/* Writes the first 8 bytes of a block, as every program does soon with memory that it asked for. */
static inline void bench_touch(void *block)
{
    *(volatile uint64_t *)block = 1;
}

/* A thread's share of an array that all threads divide among themselves. */
static inline size_t bench_share_begin(const struct bench_thread *thread, size_t count)
{
    return count * thread->index / thread->threads;
}

static inline size_t bench_share_end(const struct bench_thread *thread, size_t count)
{
    return count * (thread->index + 1) / thread->threads;
}

#endif /* BENCH_WORKER_HARNESS_H */
