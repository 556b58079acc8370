/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* AO_realloc: content, failure, NULL, size 0. */

#include "canary.h"
#include "chain.h"
#include "process.h"
#include "rng.h"
#include "test.h"

#include <aomalloc.h>

#include <errno.h>
#include <string.h>

/* What blocks are filled with, from its beginning on; made as far as it is used. */
static unsigned char pattern[TEST_HEAP_BYTES + 24 * MIB];

static void require_pattern(size_t size)
{
    static size_t made;

    CHECK(size <= sizeof pattern);
    for (; made < size; made++)
        pattern[made] = (unsigned char)(made ^ (made >> 8) * 7 ^ (made >> 16) * 13);
}

static void fill(unsigned char *block, size_t from, size_t to)
{
    require_pattern(to);
    memcpy(block + from, pattern + from, to - from);
}

static void assert_filled(const unsigned char *block, size_t size)
{
    require_pattern(size);
    if (memcmp(block, pattern, size) == 0)
        return;
    for (size_t i = 0; i < size; i++)
        if (block[i] != pattern[i])
            fail_msg("byte %zu of %zu is 0x%x", i, size, block[i]);
}

static unsigned char *resize(unsigned char *block, size_t old_size, size_t new_size)
{
    errno = ERRNO_SENTINEL;
    block = AO_realloc(block, new_size);
    assert_non_null(block);
    assert_int_equal(errno, ERRNO_SENTINEL);
    assert_int_equal((uintptr_t)block % 16, 0);
    assert_true(AO_malloc_usable_size(block) >= new_size);
    assert_filled(block, old_size < new_size ? old_size : new_size);
    if (new_size > old_size)
        fill(block, old_size, new_size);
    return block;
}

static void grow_and_shrink(size_t from, size_t to, size_t numerator, size_t denominator)
{
    size_t size = from;
    unsigned char *block = AO_malloc(size);

    assert_non_null(block);
    fill(block, 0, size);
    while (size < to) {
        size_t next = size * numerator / denominator + 1;
        block = resize(block, size, next);
        size = next;
    }
    while (size > from) {
        size_t next = size * denominator / numerator;
        block = resize(block, size, next);
        size = next;
    }
    AO_free(block);
}

TEST(realloc_keeps_content)
{
    grow_and_shrink(16, TEST_HEAP_BYTES / 8, 9, 8);
    grow_and_shrink(1, TEST_HEAP_BYTES / 8, 3, 1);
}

TEST(realloc_keeps_content_with_mmap)
{
    require_shortening_mremap();
    test_require_mremap();
    AO_malloc_enable_mmap();
    grow_and_shrink(16, 2 * MIB, 5, 4);
    grow_and_shrink(16, 8 * MIB, 17, 1);
    grow_and_shrink(1 * MIB, 8 * MIB, 9, 8);
}

/* Every pair of these sizes, so that every way from one kind of block to another is taken. */
TEST(realloc_from_every_kind_to_every_kind)
{
    static const size_t sizes[] = {1,       16,          17,       128,         129,       1000,      4096,
                                   8192,    16 * KIB,    24 * KIB, 64 * KIB,    200 * KIB, 512 * KIB, 600 * KIB,
                                   1 * MIB, 1 * MIB + 1, 2 * MIB,  2 * MIB + 1, 5 * MIB,   8 * MIB};
    enum { COUNT = sizeof sizes / sizeof sizes[0] };

    test_require_mremap();
    AO_malloc_enable_mmap();
    for (size_t from = 0; from < COUNT; from++)
        for (size_t to = 0; to < COUNT; to++) {
            unsigned char *block = AO_malloc(sizes[from]);
            assert_non_null(block);
            fill(block, 0, sizes[from]);
            block = resize(block, sizes[from], sizes[to]);
            assert_filled(block, sizes[to]);
            AO_free(block);
        }
}

TEST(realloc_of_null_allocates)
{
    errno = ERRNO_SENTINEL;
    void *block = AO_realloc(NULL, 100);
    assert_non_null(block);
    assert_true(AO_malloc_usable_size(block) >= 100);
    assert_int_equal(errno, ERRNO_SENTINEL);
    AO_free(block);

    block = AO_realloc(NULL, 0);
    assert_non_null(block);
    AO_free(block);

    errno = 0;
    assert_null(AO_realloc(NULL, opaque_size(SIZE_MAX)));
    assert_int_equal(errno, ENOMEM);
}

TEST(realloc_to_0_gives_a_block)
{
    errno = ERRNO_SENTINEL;
    void *block = AO_realloc(AO_malloc(1000), 0);
    assert_non_null(block);
    assert_int_equal(errno, ERRNO_SENTINEL);

    void *smallest = AO_malloc(1);
    assert_int_equal(AO_malloc_usable_size(block), AO_malloc_usable_size(smallest));
    AO_free(smallest);
    AO_free(block);
}

static void assert_fails(void *block, size_t size, size_t new_size)
{
    errno = 0;
    assert_null(AO_realloc(block, opaque_size(new_size)));
    assert_int_equal(errno, ENOMEM);
    assert_filled(block, size);
}

static void fail_to_grow(size_t size)
{
    void *block = AO_malloc(size);
    assert_non_null(block);
    fill(block, 0, size);
    assert_fails(block, size, SIZE_MAX);
    assert_fails(block, size, SIZE_MAX - 4096);
    assert_fails(block, size, (size_t)1 << IMPOSSIBLE_BIT);
    assert_fails(block, size, PTRDIFF_MAX);
    assert_fails(block, size, (size_t)PTRDIFF_MAX + 1);
    AO_free(block);
}

TEST(failed_realloc_keeps_the_block)
{
    for (size_t size = 1; size <= TEST_HEAP_BYTES / 4; size = size * 4 + 3)
        fail_to_grow(size);
}

TEST(failed_realloc_keeps_the_block_with_mmap)
{
    AO_malloc_enable_mmap();
    for (size_t size = 1; size <= 8 * MIB; size = size * 4 + 3)
        fail_to_grow(size);
}

TEST(realloc_in_an_exhausted_heap_keeps_the_block)
{
    struct chain chain = {0};
    unsigned char *block = AO_malloc(100);

    assert_non_null(block);
    fill(block, 0, 100);
    chain_exhaust(&chain, 2000);
    chain_exhaust(&chain, 16);
    assert_fails(block, 100, 30000);
    chain_free(&chain);
    block = resize(block, 100, 30000);
    AO_free(block);
}

/* Shrinking must not fail for want of memory: the old block would serve. */
TEST(realloc_shrinks_in_an_exhausted_heap)
{
    struct chain chain = {0};
    unsigned char *block = AO_malloc(20000);

    assert_non_null(block);
    fill(block, 0, 20000);
    chain_exhaust(&chain, 2000);
    chain_exhaust(&chain, 16);
    for (size_t size = 20000, next; size > 16; size = next) {
        next = size * 2 / 3;
        block = AO_realloc(block, next);
        assert_non_null(block);
        assert_filled(block, next);
    }
    AO_free(block);
    chain_free(&chain);
}

/* A shrunk block must not keep what it no longer needs for ever. */
TEST(realloc_gives_back_what_shrinking_frees)
{
    enum { BLOCKS = 30 };
    void *blocks[BLOCKS];
    struct chain chain = {0};
    size_t each = TEST_HEAP_BYTES / 40;

    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = AO_malloc(each);
        assert_non_null(blocks[i]);
    }
    for (size_t i = 0; i < BLOCKS; i++)
        blocks[i] = AO_realloc(blocks[i], 16);
    chain_exhaust(&chain, 1000);
    assert_true(chain.bytes >= TEST_HEAP_BYTES / 2);
    chain_free(&chain);
    for (size_t i = 0; i < BLOCKS; i++)
        AO_free(blocks[i]);
}

/* Half of a window is enough to keep it; the rest goes back. */
TEST(a_block_of_its_own_mapping_shrinks_where_it_is)
{
    require_shortening_mremap();
    AO_malloc_enable_mmap();
    unsigned char *block = AO_malloc(2 * MIB);
    assert_non_null(block);
    fill(block, 0, 2 * MIB);
    for (size_t size = 2 * MIB; size >= 256 * KIB; size /= 2) {
        assert_ptr_equal(AO_realloc(block, size), block);
        assert_in_range(AO_malloc_usable_size(block), size, size > 512 * KIB ? size : 512 * KIB);
        assert_filled(block, size);
    }
    unsigned char *moved = AO_realloc(block, 256 * KIB - 1);
    assert_ptr_not_equal(moved, block);
    assert_filled(moved, 256 * KIB - 1);
    AO_free(moved);
}

TEST(random_reallocs_disturb_no_neighbour)
{
    enum { HELD = 256, MAX_MMAP_DOUBLINGS = 17 };
    void *held[HELD] = {0};
    struct rng rng = rng_stream(test_seed(), 1);
    size_t times = test_times(test_instrumented() ? 2000 : 20000);

    test_require_mremap();
    AO_malloc_enable_mmap();
    for (size_t i = 0; i < times; i++) {
        size_t slot = rng_below(&rng, HELD);
        size_t size = rng_size(&rng, CANARY_MIN_BYTES, MAX_MMAP_DOUBLINGS);
        CHECK(!held[slot] || canary_is_whole(held[slot]));
        held[slot] = AO_realloc(held[slot], size);
        CHECK(held[slot] != NULL);
        canary_write(held[slot], size, rng_next(&rng));
    }
    for (size_t slot = 0; slot < HELD; slot++) {
        CHECK(!held[slot] || canary_take(held[slot]));
        AO_free(held[slot]);
    }
}
