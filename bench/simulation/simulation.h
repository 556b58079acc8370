/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Runs a workload on up to 256 virtual CPUs and counts what they write to in common, whatever the machine. The virtual
 * CPUs are coroutines of one thread: main.c reads the options, schedule.c switches between them, writers.c keeps who
 * wrote to what last, cpu/VARIANT.c makes the variant believe the number of the virtual CPU.
 */
#ifndef BENCH_SIMULATION_SIMULATION_H
#define BENCH_SIMULATION_SIMULATION_H

#include <stdbool.h>
#include <stdint.h>

#define BENCH_SIMULATION_SKIPPED 77

struct bench_workload;

struct bench_simulation {
    const struct bench_workload *workload;
    unsigned cpus;
    bool overlap; /* calls may be interrupted before each read-modify-write */
    uint64_t ops; /* of all CPUs together, after as many of warm-up */
    uint64_t seed;
};

/* What was counted during these operations. */
struct bench_writes {
    uint64_t rmw;       /* read-modify-writes, failed ones included */
    uint64_t contended; /* of these, on a word that another CPU was the last to write */
    uint64_t moved;     /* of these and of plain stores, to a cache line that another CPU was the last to write */
    double hottest;     /* of these per operation, to the line with most of them at the time: what cannot overlap */
    uint64_t blocks;    /* blocks that another CPU was the last to take or free, at malloc and at free */
};

/* schedule.c; runs once in a process. */
struct bench_writes bench_simulate(const struct bench_simulation *simulation);
/* A call of free, or of malloc (NULL), is about to be made: another CPU may go on instead. */
void bench_simulation_call(const void *freed);
/* It was malloc, and gave this. */
void bench_simulation_taken(const void *block);

/* writers.c: the CPU writes to the word; it counts after the start. */
void bench_writers_rmw(const volatile void *word, unsigned cpu);
void bench_writers_store(const volatile void *word, unsigned cpu);
void bench_writers_block(const void *block, unsigned cpu);
void bench_writers_op(void); /* an operation begins */
void bench_writers_start(void);
struct bench_writes bench_writers_so_far(void);

/* cpu/VARIANT.c: what AO_malloc_mode begins with where the variant has all that it can have. */
extern const char *const bench_cpu_mode;
void bench_cpu_start(void);
void bench_cpu_set(unsigned cpu);

#endif /* BENCH_SIMULATION_SIMULATION_H */
