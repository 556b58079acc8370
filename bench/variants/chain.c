/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * A chain of producers and consumers: each stage is a thread, with a queue of 1024 blocks to the next. The first
 * allocates blocks of 16 to 1024 bytes and numbers them; each second of those between puts what came into a new block
 * and frees the old one, the others pass it on; the last frees it, if it has the number that is due.
 */
#include "binding.h"
#include "harness.h"
#include "memory.h"
#include "ring.h"
#include "variants.h"

#include <pthread.h>
#include <stdio.h>

#define MOST_STAGES 64

static const struct variants_options *options;
static struct bench_ring rings[MOST_STAGES]; /* by the stage that reads */
static pthread_t threads[MOST_STAGES];

static uint64_t *numbered(uint64_t number, uint64_t *random)
{
    uint64_t *block = bench_take(variants_size(bench_random_next(random)));

    *block = number;
    return block;
}

static void put(unsigned stage, void *block)
{
    while (!bench_ring_push(&rings[stage], block))
        bench_yield();
}

static uint64_t *get(unsigned stage)
{
    void *block;

    while ((block = bench_ring_pop(&rings[stage])) == NULL)
        bench_yield();
    return block;
}

static void *first(void *unused)
{
    uint64_t random = 1;

    for (uint64_t i = 0; i < options->rounds; i++)
        put(1, numbered(i, &random));
    return unused;
}

static void *between(void *argument)
{
    unsigned stage = (unsigned)(uintptr_t)argument;
    uint64_t random = 2 * (uint64_t)stage + 1;

    for (uint64_t i = 0; i < options->rounds; i++) {
        uint64_t *block = get(stage);
        if (stage % 2 == 0) {
            uint64_t *old = block;
            block = numbered(*old, &random);
            bench_free(old);
        }
        put(stage + 1, block);
    }
    return NULL;
}

static void *last(void *argument)
{
    unsigned stage = (unsigned)(uintptr_t)argument;

    for (uint64_t i = 0; i < options->rounds; i++) {
        uint64_t *block = get(stage);
        if (*block != i)
            bench_fail(BENCH_EXIT_FAILED, "a block came out of the chain with another number than it was given");
        bench_free(block);
    }
    return NULL;
}

void variants_chain(const struct variants_options *chosen)
{
    options = chosen;
    if (options->threads < 2 || options->threads > MOST_STAGES)
        bench_fail(BENCH_EXIT_FAILED, "a chain has 2 to 64 stages");
    long before = bench_resident_kib();
    uint64_t ns = bench_now_ns();
    for (uintptr_t i = 0; i < options->threads; i++) {
        void *(*run)(void *) = i == 0 ? first : i + 1 < options->threads ? between : last;
        if (pthread_create(&threads[i], NULL, run, (void *)i) != 0)
            bench_fail(BENCH_EXIT_FAILED, "a thread could not be started");
    }
    for (unsigned i = 0; i < options->threads; i++)
        pthread_join(threads[i], NULL);
    ns = bench_now_ns() - ns;
    printf("ns_per_block=%.1f end_kib=%ld", (double)ns / options->rounds, bench_resident_kib() - before);
    (void)bench_binding_trim();
    printf(" trimmed_kib=%ld", bench_resident_kib() - before);
}
