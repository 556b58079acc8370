/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Threads that allocate and free each other's blocks as fast as they can, for AOMALLOC_TEST_SECONDS in each test.
 * Every block is checked before it is freed; a lost one shows at the end, when the static heap must be whole again.
 */

#include "canary.h"
#include "chain.h"
#include "exchange.h"
#include "test.h"
#include "whole.h"

#include <aomalloc.h>

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

enum { THREADS = 4, MANY_THREADS = 8, SLOTS = 512, OPERATIONS_PER_LOOK = 64 };

static _Atomic(void *) slots[SLOTS];
static struct exchange exchange = {.slots = slots, .slot_count = SLOTS, .min_bytes = CANARY_MIN_BYTES};
static uint64_t deadline_ns;

static void start_clock(void)
{
    deadline_ns = test_deadline_ns();
}

static void *exchange_until_deadline(void *number)
{
    struct rng rng = rng_stream(test_seed(), (uintptr_t)number);

    while (!test_passed(deadline_ns))
        for (unsigned i = 0; i < OPERATIONS_PER_LOOK; i++) {
            exchange_one(&exchange, &rng);
            if (i % 4 == 0)
                exchange_resize(&exchange, &rng);
        }
    return NULL;
}

static void run_threads(void *(*run)(void *), size_t count)
{
    pthread_t threads[THREADS * 2];

    for (size_t i = 0; i < count; i++)
        CHECK(pthread_create(&threads[i], NULL, run, (void *)(i + 1)) == 0);
    for (size_t i = 0; i < count; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
}

static void exchange_with_threads(unsigned doublings, size_t count)
{
    exchange.doublings = doublings;
    start_clock();
    run_threads(exchange_until_deadline, count);
    exchange_clear(&exchange);
}

TEST(small_blocks_in_the_static_heap)
{
    whole_measure();
    exchange_with_threads(6, THREADS);
    whole_assert();
}

/* So large that memory is always short: every path that gives up or takes back is taken. */
TEST(exhausted_static_heap)
{
    whole_measure();
    exchange_with_threads(12, THREADS);
    whole_assert();
}

TEST(one_size_only)
{
    whole_measure();
    exchange.min_bytes = 48;
    exchange.slot_count = 16;
    exchange_with_threads(1, MANY_THREADS);
    whole_assert();
}

TEST(all_sizes_with_mmap)
{
    test_require_mremap();
    AO_malloc_enable_mmap();
    exchange_with_threads(17, THREADS);
}

TEST(all_sizes_at_the_limit)
{
    test_require_mremap();
    AO_malloc_enable_mmap();
    AO_malloc_set_limit(8 * MIB);
    exchange_with_threads(17, THREADS);
}

/* Own mappings, taken and given back at the same addresses by several threads. */
TEST(mappings_only)
{
    test_require_mremap();
    AO_malloc_enable_mmap();
    exchange.min_bytes = MIB;
    exchange.slot_count = 8;
    exchange_with_threads(2, THREADS);
}

static void *trim_until_deadline(void *argument)
{
    while (!test_passed(deadline_ns))
        AO_malloc_trim();
    return argument;
}

TEST(trim_while_others_allocate)
{
    pthread_t trimmer;

    AO_malloc_enable_mmap();
    exchange.doublings = 14;
    start_clock();
    CHECK(pthread_create(&trimmer, NULL, trim_until_deadline, NULL) == 0);
    run_threads(exchange_until_deadline, THREADS - 1);
    CHECK(pthread_join(trimmer, NULL) == 0);
    exchange_clear(&exchange);
}

/* Threads that live for a few blocks only, and leave them to others. */
static void *exchange_a_little(void *number)
{
    static atomic_uint thread_count;
    struct rng rng = rng_stream(test_seed(), (uintptr_t)number + atomic_fetch_add(&thread_count, 1) * THREADS * 2);

    for (unsigned i = 0; i < OPERATIONS_PER_LOOK; i++)
        exchange_one(&exchange, &rng);
    return NULL;
}

TEST(threads_that_start_and_end)
{
    whole_measure();
    exchange.doublings = 8;
    start_clock();
    while (!test_passed(deadline_ns))
        run_threads(exchange_a_little, THREADS);
    exchange_clear(&exchange);
    whole_assert();
}

/* One thread only allocates, another only frees: blocks must find their way back. */
static _Atomic(void *) ring[64];

static void *produce(void *argument)
{
    struct rng rng = rng_stream(test_seed(), 100);

    for (size_t at = 0; !test_passed(deadline_ns); at = (at + 1) % 64) {
        if (atomic_load(&ring[at]))
            continue;
        size_t size = rng_size(&rng, CANARY_MIN_BYTES, 7);
        void *block = AO_malloc(size);
        CHECK(block != NULL);
        canary_write(block, size, rng_next(&rng));
        atomic_store(&ring[at], block);
    }
    return argument;
}

static void *consume(void *argument)
{
    for (size_t at = 0; !test_passed(deadline_ns); at = (at + 1) % 64) {
        void *block = atomic_exchange(&ring[at], NULL);
        if (!block)
            continue;
        CHECK(canary_take(block));
        AO_free(block);
    }
    return argument;
}

static void *produce_or_consume(void *number)
{
    return (uintptr_t)number == 1 ? produce(NULL) : consume(NULL);
}

TEST(one_way)
{
    whole_measure();
    start_clock();
    run_threads(produce_or_consume, 2);
    for (size_t at = 0; at < 64; at++)
        AO_free(atomic_exchange(&ring[at], NULL));
    whole_assert();
}

/* Each thread enables, adds and limits while others allocate: none of it may disturb. */
static _Alignas(8192) unsigned char region[MANY_THREADS][64 * 1024];

static void *change_settings(void *number)
{
    struct rng rng = rng_stream(test_seed(), (uintptr_t)number);

    exchange_one(&exchange, &rng);
    CHECK(AO_malloc_add_region(region[(uintptr_t)number - 1], sizeof region[0]) == 0);
    AO_malloc_enable_mmap();
    AO_malloc_set_limit((uintptr_t)number * MIB);
    for (unsigned i = 0; i < 10000; i++)
        exchange_one(&exchange, &rng);
    return NULL;
}

TEST(settings_change_while_others_allocate)
{
    exchange.doublings = 12;
    run_threads(change_settings, MANY_THREADS);
    exchange_clear(&exchange);
}

/* The very first calls of a process, by all threads at once. */
static atomic_uint arrived;

static void *arrive_and_allocate(void *number)
{
    atomic_fetch_add(&arrived, 1);
    while (atomic_load(&arrived) < THREADS)
        ;
    struct rng rng = rng_stream(test_seed(), (uintptr_t)number);
    for (unsigned i = 0; i < OPERATIONS_PER_LOOK; i++)
        exchange_one(&exchange, &rng);
    return NULL;
}

TEST(first_calls_at_once)
{
    whole_measure();
    exchange.doublings = 8;
    run_threads(arrive_and_allocate, THREADS);
    exchange_clear(&exchange);
    whole_assert();
}

static atomic_uint regions_added;

static void *add_the_same_region(void *number)
{
    (void)number;
    atomic_fetch_add(&arrived, 1);
    while (atomic_load(&arrived) < THREADS)
        ;
    if (AO_malloc_add_region(region, sizeof region) == 0)
        atomic_fetch_add(&regions_added, 1);
    return NULL;
}

/* Calls that overlap in time may all be told that they added it; its memory must not be handed out twice. */
TEST(one_region_added_by_all_at_once)
{
    struct chain chain = {0};

    run_threads(add_the_same_region, THREADS);
    assert_true(atomic_load(&regions_added) >= 1);
    while (chain_add(&chain, 1000))
        memset((char *)chain.first + sizeof(void *), 0x77, 1000 - sizeof(void *));
    assert_true(chain.bytes <= TEST_HEAP_BYTES + sizeof region);
    chain_free(&chain);
}
