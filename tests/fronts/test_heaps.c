/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* Heaps of CPUs that are not there: one thread is told another number each time that it asks. No fronts. */

#include "fronts.h"

#include "chain.h"
#include "exchange.h"

#include <aomalloc.h>
#include <errno.h>

#include "heaps.h"

static struct rng rng;
static unsigned cpus;

static unsigned any_cpu(unsigned cpu)
{
    (void)cpu;
    return (unsigned)rng_below(&rng, cpus);
}

/* Valid and invalid numbers alike. */
static unsigned any_number(unsigned cpu)
{
    (void)cpu;
    return (unsigned)rng_next(&rng);
}

static void hop_over(unsigned count)
{
    cpus = count;
    rng = rng_stream(test_seed(), count);
    inject_number = any_cpu;
}

/* As after AO_malloc_enable_mmap(), so that heaps are not shared, but with the static heap alone. */
static void spread_over_static_heap(void)
{
    AO_malloc_enable_mmap();
    AO_malloc_set_limit(0);
}

static void assert_usable(size_t size, unsigned percent)
{
    struct chain chain = {0};

    chain_exhaust(&chain, size);
    if (chain.bytes < TEST_HEAP_BYTES / 100 * percent)
        fail_msg("%zu KiB of %zu in blocks of %zu", chain.bytes / KIB, TEST_HEAP_BYTES / KIB, size);
    chain_free(&chain);
}

static void require_usual_heap(void)
{
    if (TEST_HEAP_BYTES < 2 * MIB)
        test_skip("the static heap is smaller than 2 MiB");
}

/* Sizes whose runs have little tail. */
static void assert_all_usable(void)
{
    static const size_t sizes[] = {16, 64, 512, 1024, 2048, 4096, 16, 8192};

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        assert_usable(sizes[i], 90);
}

TEST(static_heap_is_usable_over_64_cpus)
{
    require_usual_heap();
    hop_over(64);
    assert_all_usable();
}

TEST(static_heap_is_usable_over_64_heaps)
{
    require_usual_heap();
    hop_over(64);
    spread_over_static_heap();
    assert_all_usable();
}

TEST(static_heap_is_usable_over_many_heaps)
{
    require_usual_heap();
    hop_over((unsigned)test_times(test_instrumented() ? AOMA_NUMBERS / 16 : AOMA_NUMBERS));
    spread_over_static_heap();
    assert_all_usable();
}

/* Blocks of one CPU, freed on others, serve a third. */
TEST(free_blocks_of_other_cpus_are_found)
{
    enum { BLOCK_BYTES = 1024 };
    static void *blocks[TEST_HEAP_BYTES / BLOCK_BYTES + 1];
    size_t count = 0;

    hop_over(64);
    spread_over_static_heap();
    while ((blocks[count] = AO_malloc(BLOCK_BYTES)))
        count++;
    CHECK(count > 0);
    for (unsigned round = 0; round < 1000; round++) {
        size_t chosen = rng_below(&rng, count);
        AO_free(blocks[chosen]);
        blocks[chosen] = AO_malloc(BLOCK_BYTES);
        CHECK(blocks[chosen]);
    }
    while (count > 0)
        AO_free(blocks[--count]);
    assert_accounted(0);
}

static void exchange_for_a_while(void)
{
    static _Atomic(void *) slots[256];
    struct exchange exchange = {.slots = slots, .slot_count = 256, .min_bytes = 32, .doublings = 8};

    for (unsigned i = 0; i < 50000; i++) {
        exchange_one(&exchange, &rng);
        exchange_resize(&exchange, &rng);
    }
    exchange_clear(&exchange);
    assert_accounted(0);
}

TEST(any_number_will_do)
{
    rng = rng_stream(test_seed(), 1);
    inject_number = any_number;
    exchange_for_a_while();
}

TEST(any_number_will_do_with_mmap)
{
    rng = rng_stream(test_seed(), 2);
    inject_number = any_number;
    AO_malloc_enable_mmap();
    exchange_for_a_while();
}

static unsigned highest(unsigned cpu)
{
    (void)cpu;
    return AOMA_NUMBERS - 1;
}

TEST(highest_number)
{
    inject_number = highest;
    AO_malloc_enable_mmap();
    CHECK(aoma_number() == AOMA_NUMBERS - 1);
    exchange_for_a_while();
}
