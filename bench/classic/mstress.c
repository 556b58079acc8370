/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Sizes and lifetimes at random, threads that end and start, blocks that wander between them. After the pattern of
 * mimalloc's stress test, which mimalloc-bench runs as mstress: Leijen, Zorn and de Moura, "Mimalloc: Free List
 * Sharding in Action" (APLAS 2019). In each round all threads are new. A thread allocates arrays of 1 to 2^10 pointers'
 * size, small ones mostly, and now and then one 100 or 1000 times as large; it keeps some to its end, frees some soon,
 * and swaps some for what it finds in slots that all threads share. Half of the slots are emptied between rounds.
 */
#include "classic.h"

#include <stdatomic.h>
#include <stdlib.h>

enum { SHARED_SLOTS = 1000, KEPT = 20000, SOON = 64, ROUNDS = 15 };

static _Atomic(void *) shared[SHARED_SLOTS];
static struct classic_tally tallies[CLASSIC_MAX_THREADS];
static unsigned round_number;

static void *allocate(uint64_t *random, struct classic_tally *tally)
{
    size_t words = (size_t)1 << classic_between(random, 1, 1 + classic_between(random, 0, 9));
    size_t luck = classic_between(random, 0, 9999);
    if (luck == 0)
        words = 1000 * classic_between(random, 2, 100);
    else if (luck < 100)
        words = 100 * classic_between(random, 2, 20);
    return classic_new(words * sizeof(uint64_t), tally);
}

/* acq_rel: whoever finds a block here frees it, after what was written to it. */
static void swap(uint64_t *random, void **block)
{
    *block =
        atomic_exchange_explicit(&shared[classic_between(random, 0, SHARED_SLOTS - 1)], *block, memory_order_acq_rel);
}

static void work(unsigned index)
{
    struct classic_tally *tally = &tallies[index];
    uint64_t random = classic_seed(index + (uint64_t)round_number * CLASSIC_MAX_THREADS);
    void **kept = calloc(KEPT, sizeof(*kept));
    void *soon[SOON] = {NULL};
    if (kept == NULL)
        classic_fail("out of memory");
    for (uint64_t i = classic_work(120000); i > 0; i--) {
        void *block = allocate(&random, tally);
        size_t luck = classic_between(&random, 0, 99);
        void **place =
            luck < 25 ? &kept[classic_between(&random, 0, KEPT - 1)] : &soon[classic_between(&random, 0, SOON - 1)];
        if (luck >= 75)
            swap(&random, &block);
        classic_drop(*place);
        *place = block;
    }
    for (size_t i = 0; i < SOON; i++)
        classic_drop(soon[i]);
    for (size_t i = 0; i < KEPT; i++)
        classic_drop(kept[i]);
    free(kept);
}

static void empty(size_t from, size_t step)
{
    for (size_t i = from; i < SHARED_SLOTS; i += step)
        classic_drop(atomic_exchange(&shared[i], NULL));
}

int main(int count, char **arguments)
{
    classic_begin(count, arguments, NULL);
    for (round_number = 0; round_number < ROUNDS; round_number++) {
        classic_run(classic_threads, work);
        empty(round_number % 2, 2);
    }
    empty(0, 1);
    classic_end("mstress", tallies, classic_threads);
    return EXIT_SUCCESS;
}
