/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* AO_aligned_alloc. */

#include "chain.h"
#include "test.h"

#include <aomalloc.h>

#include <errno.h>
#include <string.h>

/* The compiler is told that the block is aligned: it must not see where the pointer comes from. */
static void *allocate(size_t alignment, size_t size)
{
    errno = ERRNO_SENTINEL;
    void *block = opaque_pointer(AO_aligned_alloc(alignment, size));
    if (!block) {
        fail_msg("no %zu bytes at a multiple of %zu (errno %d)", size, alignment, errno);
        return NULL; /* not reached, but fail_msg() is not declared so */
    }
    assert_int_equal(errno, ERRNO_SENTINEL);
    assert_int_equal((uintptr_t)block % alignment, 0);
    assert_int_equal((uintptr_t)block % 16, 0);
    assert_true(AO_malloc_usable_size(block) >= size);
    memset(block, 0xa5, size);
    return block;
}

/* The first block of a run is aligned whatever its size: a second one is not. */
static void allocate_two(size_t alignment, size_t size)
{
    void *first = allocate(alignment, size);
    void *second = allocate(alignment, size);

    AO_free(first);
    AO_free(second);
}

TEST(all_alignments_and_sizes)
{
    AO_malloc_enable_mmap();
    for (size_t alignment = 1; alignment <= 4 * MIB; alignment *= 2)
        for (size_t size = 0; size <= 3 * MIB; size = size * 7 / 4 + 1)
            allocate_two(alignment, size);
}

TEST(alignments_of_the_static_heap)
{
    for (size_t alignment = 1; alignment <= TEST_HEAP_BYTES / 8; alignment *= 2)
        for (size_t size = 0; size <= TEST_HEAP_BYTES / 8; size = size * 3 / 2 + 1)
            allocate_two(alignment, size);
}

/* Nothing is left but blocks that are larger, of which every other one is aligned as well. */
TEST(blocks_of_larger_sizes_that_serve_are_aligned)
{
    enum { KEPT_MAX = TEST_HEAP_KIB / 3 + 1 };
    static void *kept[KEPT_MAX];
    struct chain chain = {0};
    size_t count = 0;

    while (count < KEPT_MAX && (kept[count] = AO_malloc(3 * KIB)))
        count++;
    chain_exhaust(&chain, 16);
    for (size_t i = 0; i < count; i += 3)
        AO_free(kept[i]);
    for (size_t i = 0; i < count; i++) {
        void *block = opaque_pointer(AO_aligned_alloc(2 * KIB, 2 * KIB));
        assert_int_equal((uintptr_t)block % (2 * KIB), 0);
    }
}

TEST(aligned_blocks_in_use_are_apart)
{
    enum { HELD = 12 * 9 };
    unsigned char *held[HELD];
    size_t count = 0, sizes[HELD];

    AO_malloc_enable_mmap();
    for (unsigned shift = 0; shift < 12; shift++)
        for (size_t size = 24; size <= 200000; size *= 3, count++) {
            sizes[count] = size;
            held[count] = allocate((size_t)1 << (shift * 2), size);
            memset(held[count], (int)count, size);
        }
    assert_true(count <= HELD);
    while (count-- > 0) {
        for (size_t i = 0; i < sizes[count]; i++)
            assert_int_equal(held[count][i], (unsigned char)count);
        AO_free(held[count]);
    }
}

TEST(aligned_blocks_can_be_resized)
{
    AO_malloc_enable_mmap();
    for (size_t alignment = 32; alignment <= 4 * MIB; alignment *= 2) {
        unsigned char *block = allocate(alignment, 1000);
        block = AO_realloc(block, 100000);
        assert_non_null(block);
        for (size_t i = 0; i < 1000; i++)
            assert_int_equal(block[i], 0xa5);
        AO_free(block);
    }
}

/* Blocks that start inside a run or a mapping must be taken back whole. */
TEST(aligned_blocks_are_not_lost)
{
    size_t alignment = 4096, size = TEST_HEAP_BYTES / 4;

    for (unsigned i = 0; i < 1000; i++)
        AO_free(allocate(alignment, size));
    for (unsigned i = 0; i < 20000; i++)
        AO_free(allocate(256, 300));
}

static void assert_refused(size_t alignment, size_t size, int reason)
{
    errno = 0;
    assert_null(AO_aligned_alloc(opaque_size(alignment), opaque_size(size)));
    assert_int_equal(errno, reason);
}

TEST(wrong_alignment_is_einval)
{
    static const size_t wrong[] = {0, 3, 5, 6, 7, 24, 48, 100, 4095, 4097, 12288, SIZE_MAX, SIZE_MAX - 1, PTRDIFF_MAX};

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_refused(wrong[i], 100, EINVAL);
        assert_refused(wrong[i], 0, EINVAL);
        assert_refused(wrong[i], SIZE_MAX, EINVAL);
    }
}

static void assert_too_large(void)
{
    for (size_t alignment = 1; alignment != 0; alignment *= 2) {
        assert_refused(alignment, SIZE_MAX, ENOMEM);
        assert_refused(alignment, SIZE_MAX - 4095, ENOMEM);
        assert_refused(alignment, PTRDIFF_MAX, ENOMEM);
        assert_refused(alignment, (size_t)1 << IMPOSSIBLE_BIT, ENOMEM);
    }
    for (unsigned bit = IMPOSSIBLE_BIT; bit < SIZE_BITS; bit++)
        assert_refused((size_t)1 << bit, 100, ENOMEM);
}

TEST(too_large_is_enomem)
{
    assert_too_large();
    for (size_t alignment = 1; alignment <= MIB; alignment *= 2)
        assert_refused(alignment, TEST_HEAP_BYTES + 1, ENOMEM);
}

TEST(too_large_is_enomem_with_mmap)
{
    AO_malloc_enable_mmap();
    assert_too_large();
}
