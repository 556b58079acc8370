/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Threads start and end all the time: each of some starters starts one after the other and waits for its end. A
 * thread takes blocks, frees all but a few, and those few that the one before it has left.
 */
#include "binding.h"
#include "harness.h"
#include "memory.h"
#include "variants.h"

#include <pthread.h>
#include <stdio.h>

#define MOST_STARTERS 64
#define LEFT 8

struct starter {
    pthread_t thread;
    uint64_t random;
    void *left[LEFT];
};

static const struct variants_options *options;
static struct starter starters[MOST_STARTERS];

static void *short_life(void *argument)
{
    struct starter *starter = argument;
    void *taken[1000];
    const unsigned blocks = options->blocks;

    for (unsigned i = 0; i < blocks; i++) {
        taken[i] = bench_take(variants_size(bench_random_next(&starter->random)));
        bench_touch(taken[i]);
    }
    for (unsigned i = 0; i < blocks; i++) {
        void *block = taken[i];
        if (i < LEFT) {
            block = starter->left[i];
            starter->left[i] = taken[i];
        }
        bench_free(block);
    }
    return NULL;
}

static void *start_many(void *argument)
{
    struct starter *starter = argument;

    for (unsigned i = 0; i < options->rounds; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, short_life, starter) != 0)
            bench_fail(BENCH_EXIT_FAILED, "a thread could not be started");
        pthread_join(thread, NULL);
    }
    for (unsigned i = 0; i < LEFT; i++)
        bench_free(starter->left[i]);
    return NULL;
}

void variants_storm(const struct variants_options *chosen)
{
    options = chosen;
    if (options->threads > MOST_STARTERS)
        bench_fail(BENCH_EXIT_FAILED, "that many starters there are not");
    long before = bench_resident_kib();
    uint64_t ns = bench_now_ns();
    for (unsigned i = 0; i < options->threads; i++) {
        starters[i].random = 2 * i + 1;
        if (pthread_create(&starters[i].thread, NULL, start_many, &starters[i]) != 0)
            bench_fail(BENCH_EXIT_FAILED, "a thread could not be started");
    }
    for (unsigned i = 0; i < options->threads; i++)
        pthread_join(starters[i].thread, NULL);
    ns = bench_now_ns() - ns;
    double count = (double)options->threads * options->rounds;
    printf("ns_per_thread=%.0f end_kib=%ld", (double)ns / count, bench_resident_kib() - before);
    (void)bench_binding_trim();
    printf(" trimmed_kib=%ld", bench_resident_kib() - before);
}
