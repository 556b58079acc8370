/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* The static heap alone: how much of it can be had, that it comes back, and that nothing is stranded. */

#include "canary.h"
#include "chain.h"
#include "rng.h"
#include "test.h"
#include "whole.h"

#include <aomalloc.h>

#include <string.h>

#include <errno.h>
#include <stdio.h>

/* What these tests ask of the heap is stated for the default size; smaller heaps have a larger share of margins. */
#define USUAL_HEAP_BYTES (2 * MIB)

static void require_usual_heap(void)
{
    if (TEST_HEAP_BYTES < USUAL_HEAP_BYTES)
        test_skip("the static heap is smaller than 2 MiB");
}

static size_t obtain(size_t size)
{
    struct chain chain = {0};

    errno = 0;
    chain_exhaust(&chain, size);
    assert_int_equal(errno, ENOMEM);
    errno = 0;
    assert_null(AO_malloc(size));
    assert_int_equal(errno, ENOMEM);
    size_t bytes = chain.bytes;
    chain_free(&chain);
    return bytes;
}

static void assert_obtained(size_t size, unsigned percent)
{
    size_t bytes = obtain(size);
    if (bytes < TEST_HEAP_BYTES / 100 * percent)
        fail_msg("%zu KiB of %zu in blocks of %zu", bytes / KIB, TEST_HEAP_BYTES / KIB, size);
}

TEST(exhausted_heap_serves_another_size_afterwards)
{
    assert_obtained(1000, 85);
    assert_obtained(3000, 85);
    assert_obtained(1000, 85);
}

TEST(every_size_can_have_the_heap_after_every_other)
{
    static const size_t sizes[] = {16, 48, 128, 500, 1000, 3000, 5000, 8000, 16000, 30000, 65000};

    require_usual_heap();
    for (size_t first = 0; first < sizeof sizes / sizeof sizes[0]; first++)
        for (size_t second = 0; second < sizeof sizes / sizeof sizes[0]; second++) {
            obtain(sizes[first]);
            assert_obtained(sizes[second], 75);
        }
}

/* Frees in an order that has nothing to do with the order of allocation, so that runs fill and empty in any order. */
TEST(heap_comes_back_when_freed_at_random)
{
    enum { BLOCK_BYTES = 200 };
    static void *blocks[TEST_HEAP_BYTES / BLOCK_BYTES];
    struct rng rng = rng_stream(test_seed(), 1);

    for (unsigned round = 0; round < 3; round++) {
        size_t count = 0;
        while ((blocks[count] = AO_malloc(BLOCK_BYTES)))
            count++;
        assert_true(count * BLOCK_BYTES >= TEST_HEAP_BYTES / 100 * 80);
        while (count > 0) {
            size_t chosen = rng_below(&rng, count);
            AO_free(blocks[chosen]);
            blocks[chosen] = blocks[--count];
        }
        assert_obtained(3000, 85);
    }
}

/* The size class boundaries, found from outside: the sizes at which usable_size changes. */
static size_t find_classes(size_t sizes[], size_t max)
{
    size_t count = 0;

    for (size_t size = 1; size <= 64 * KIB;) {
        void *block = AO_malloc(size);
        assert_non_null(block);
        size_t usable = AO_malloc_usable_size(block);
        AO_free(block);
        assert_true(count < max);
        sizes[count++] = usable;
        size = usable + 1;
    }
    return count;
}

/* Of each size one run, all of whose blocks are free: none of them may keep its memory when that is short. */
TEST(idle_runs_of_every_size_serve_another)
{
    whole_measure();
    for (size_t size = 16; size <= TEST_HEAP_BYTES / 32; size = size * 9 / 8 + 1)
        AO_free(AO_malloc(size));
    whole_assert();
}

TEST(a_block_of_every_class_at_once)
{
    enum { CLASSES_MAX = 512 };
    static size_t sizes[CLASSES_MAX];
    static void *blocks[CLASSES_MAX];

    require_usual_heap();
    size_t count = find_classes(sizes, CLASSES_MAX);
    for (unsigned round = 0; round < 3; round++) {
        for (size_t i = 0; i < count; i++) {
            size_t at = round == 1 ? count - 1 - i : i;
            blocks[at] = AO_malloc(sizes[at]);
            if (!blocks[at])
                fail_msg("no block of %zu bytes with %zu of %zu classes in use", sizes[at], i, count);
            canary_write(blocks[at], sizes[at] < CANARY_MIN_BYTES ? CANARY_MIN_BYTES : sizes[at], at);
        }
        for (size_t at = 0; at < count; at++) {
            assert_true(canary_take(blocks[at]));
            AO_free(blocks[at]);
        }
    }
}

static void assert_largest_object(void)
{
    size_t size = TEST_HEAP_BYTES / 4 * 3;
    void *block = AO_malloc(size);
    if (!block)
        fail_msg("no object of %zu KiB in a heap of %zu KiB", size / KIB, TEST_HEAP_BYTES / KIB);
    canary_write(block, size, 1);
    assert_true(canary_take(block));
    AO_free(block);
}

TEST(one_object_can_have_three_quarters_of_the_heap)
{
    assert_largest_object();
    assert_largest_object();
}

TEST(one_object_can_have_three_quarters_after_small_blocks)
{
    obtain(16);
    obtain(1000);
    assert_largest_object();
    for (size_t size = 16; size < 16 * KIB; size = size * 9 / 8 + 1)
        AO_free(AO_malloc(size));
    assert_largest_object();
}

/* An allocation of 3/4 must also be had by aligned_alloc, calloc and realloc. */
TEST(one_object_can_have_three_quarters_by_every_call)
{
    size_t size = TEST_HEAP_BYTES / 4 * 3;
    void *block = AO_calloc(size, 1);
    assert_non_null(block);
    AO_free(block);
    block = AO_aligned_alloc(64, size);
    assert_non_null(block);
    AO_free(block);
    block = AO_realloc(AO_malloc(100), size);
    assert_non_null(block);
    AO_free(block);
}

/* A block and the number that stands in its first and last 8 bytes. (A canary in all of it would take the time.) */
struct numbered {
    void *block;
    size_t size;
    uint64_t number;
};

static void number_write(const struct numbered *numbered)
{
    CHECK(numbered->block != NULL);
    memcpy(numbered->block, &numbered->number, sizeof numbered->number);
    memcpy((char *)numbered->block + numbered->size - sizeof numbered->number, &numbered->number,
           sizeof numbered->number);
}

static void number_take(const struct numbered *numbered)
{
    const char *end = (const char *)numbered->block + numbered->size;

    CHECK(numbered->block != NULL);
    CHECK(memcmp(numbered->block, &numbered->number, sizeof numbered->number) == 0);
    CHECK(memcmp(end - sizeof numbered->number, &numbered->number, sizeof numbered->number) == 0);
    AO_free(numbered->block);
}

/* 5/8 of the heap in use, log-uniform 16 B .. 4 KiB: random replacements must never fail, however long it goes on. */
TEST(heap_does_not_fragment)
{
    enum { DOUBLINGS = 8, SLOTS = TEST_HEAP_BYTES / 64 };
    static struct numbered slots[SLOTS];
    struct rng rng = rng_stream(test_seed(), 2);
    size_t live = 0, count = 0, target = TEST_HEAP_BYTES / 8 * 5;
    unsigned long replacements = test_instrumented() ? 100000 : test_long() ? 100000000 : 10000000;

    require_usual_heap();
    for (unsigned long i = 0; i < replacements; i++) {
        struct numbered made = {.size = rng_size(&rng, 16, DOUBLINGS), .number = i};
        while (live + made.size > target || count == SLOTS) {
            CHECK(count > 0);
            struct numbered *chosen = &slots[rng_below(&rng, count)];
            live -= chosen->size;
            number_take(chosen);
            *chosen = slots[--count];
        }
        made.block = AO_malloc(made.size);
        if (!made.block)
            fail_msg("no block of %zu bytes after %lu replacements with %zu KiB live", made.size, i, live / KIB);
        number_write(&made);
        slots[count++] = made;
        live += made.size;
    }
    while (count > 0)
        number_take(&slots[--count]);
    assert_obtained(3000, 85);
}
