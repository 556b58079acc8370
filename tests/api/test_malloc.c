/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* AO_malloc, AO_calloc and AO_free: alignment, sizes, zero bytes, errno. */

#include "chain.h"
#include "test.h"

#include <aomalloc.h>

#include <errno.h>
#include <string.h>

enum { ALIGNMENT = 16, SIZES = 70000 };

static void assert_aligned(const void *block)
{
    assert_non_null(block);
    assert_int_equal((uintptr_t)block % ALIGNMENT, 0);
}

TEST(blocks_of_all_sizes_are_aligned)
{
    for (size_t size = 0; size <= SIZES; size++) {
        void *block = AO_malloc(size);
        assert_aligned(block);
        memset(block, 0x5a, size);
        AO_free(block);
    }
}

TEST(blocks_in_use_are_aligned_and_apart)
{
    enum { HELD = 200 };
    unsigned char *held[HELD];
    size_t sizes[HELD];

    for (size_t i = 0; i < HELD; i++) {
        sizes[i] = i * 37 + 1;
        held[i] = AO_malloc(sizes[i]);
        assert_aligned(held[i]);
        memset(held[i], (int)i, sizes[i]);
    }
    for (size_t i = 0; i < HELD; i++) {
        for (size_t at = 0; at < sizes[i]; at++)
            assert_int_equal(held[i][at], (unsigned char)i);
        AO_free(held[i]);
    }
}

TEST(size_0_gives_blocks_like_any_other)
{
    void *first = AO_malloc(0), *second = AO_malloc(0), *third = AO_calloc(0, 16), *fourth = AO_calloc(16, 0);

    assert_aligned(first);
    assert_aligned(second);
    assert_aligned(third);
    assert_aligned(fourth);
    assert_ptr_not_equal(first, second);
    assert_ptr_not_equal(third, fourth);
    AO_free(first);
    AO_free(second);
    AO_free(third);
    AO_free(fourth);
}

static void assert_too_large(size_t size)
{
    size = opaque_size(size);
    errno = 0;
    assert_null(AO_malloc(size));
    assert_int_equal(errno, ENOMEM);
    errno = 0;
    assert_null(AO_calloc(1, size));
    assert_int_equal(errno, ENOMEM);
    errno = 0;
    assert_null(AO_calloc(size, 1));
    assert_int_equal(errno, ENOMEM);
}

static void assert_too_large_all(void)
{
    static const size_t near_the_end[] = {0, 1, 15, 16, 17, 4095, 4096, 4097, 8191, 8192, 65536, 1 << 21, 1 << 22};

    for (size_t i = 0; i < sizeof near_the_end / sizeof near_the_end[0]; i++) {
        assert_too_large(SIZE_MAX - near_the_end[i]);
        assert_too_large(PTRDIFF_MAX - near_the_end[i]);
        assert_too_large((size_t)PTRDIFF_MAX + 1 + near_the_end[i]);
    }
    for (unsigned bit = IMPOSSIBLE_BIT; bit < SIZE_BITS; bit++)
        assert_too_large((size_t)1 << bit);
}

TEST(too_large_is_enomem)
{
    assert_too_large_all();
    assert_too_large(TEST_HEAP_BYTES + 1);
}

TEST(too_large_is_enomem_with_mmap)
{
    AO_malloc_enable_mmap();
    assert_too_large_all();
}

TEST(too_large_leaves_the_heap_as_it_was)
{
    assert_too_large_all();
    assert_aligned(AO_malloc(100));
}

#define HALF_MAX (SIZE_MAX >> SIZE_BITS / 2)

TEST(calloc_product_that_overflows_is_enomem)
{
    static const struct {
        size_t count, size;
    } products[] = {
        {SIZE_MAX, SIZE_MAX},
        {SIZE_MAX, 2},
        {SIZE_MAX / 2 + 1, 2},
        {HALF_MAX + 1, HALF_MAX + 1},
        /* What is left of these products: HALF_MAX + 1, and 16. */
        {HALF_MAX + 2, HALF_MAX + 1},
        {SIZE_MAX / 16 + 2, 16},
    };
    AO_malloc_enable_mmap();
    for (size_t i = 0; i < sizeof products / sizeof products[0]; i++) {
        errno = 0;
        assert_null(AO_calloc(opaque_size(products[i].count), opaque_size(products[i].size)));
        assert_int_equal(errno, ENOMEM);
        errno = 0;
        assert_null(AO_calloc(opaque_size(products[i].size), opaque_size(products[i].count)));
        assert_int_equal(errno, ENOMEM);
    }
}

static void assert_zero(const unsigned char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        assert_int_equal(bytes[i], 0);
}

static void dirty_then_calloc(size_t size)
{
    enum { TIMES = 3 };
    void *blocks[TIMES];

    for (size_t i = 0; i < TIMES; i++) {
        blocks[i] = AO_malloc(size);
        assert_non_null(blocks[i]);
        memset(blocks[i], 0xff, AO_malloc_usable_size(blocks[i]));
    }
    for (size_t i = 0; i < TIMES; i++)
        AO_free(blocks[i]);
    for (size_t i = 0; i < TIMES; i++) {
        blocks[i] = AO_calloc(size, 1);
        assert_aligned(blocks[i]);
        assert_zero(blocks[i], size);
    }
    for (size_t i = 0; i < TIMES; i++)
        AO_free(blocks[i]);
}

TEST(calloc_zeroes_recycled_memory)
{
    for (size_t size = 1; size <= TEST_HEAP_BYTES / 16; size = size * 5 / 4 + 1)
        dirty_then_calloc(size);
}

TEST(calloc_zeroes_recycled_memory_with_mmap)
{
    AO_malloc_enable_mmap();
    for (size_t size = 1; size <= 8 * MIB; size = size * 5 / 3 + 1)
        dirty_then_calloc(size);
}

/* The whole static heap was in use: nothing of it is known to be zero. */
TEST(calloc_zeroes_an_exhausted_heap)
{
    struct chain chain = {0};

    for (;;) {
        if (!chain_add(&chain, 1000))
            break;
        memset((char *)chain.first + sizeof(void *), 0xff, 1000 - sizeof(void *));
    }
    chain_free(&chain);
    unsigned char *block = AO_calloc(TEST_HEAP_BYTES / 32, 16);
    assert_aligned(block);
    assert_zero(block, TEST_HEAP_BYTES / 2);
    AO_free(block);
}

TEST(calloc_multiplies)
{
    for (size_t count = 1; count < 50; count++) {
        unsigned char *block = AO_calloc(count, 48);
        assert_aligned(block);
        assert_true(AO_malloc_usable_size(block) >= count * 48);
        assert_zero(block, count * 48);
        AO_free(block);
    }
}

static void allocate_with_errno_kept(size_t size)
{
    errno = ERRNO_SENTINEL;
    void *block = AO_malloc(size);
    assert_non_null(block);
    assert_int_equal(errno, ERRNO_SENTINEL);
    AO_free(block);
    assert_int_equal(errno, ERRNO_SENTINEL);
    block = AO_calloc(1, size);
    assert_non_null(block);
    assert_int_equal(errno, ERRNO_SENTINEL);
    AO_free(block);
    assert_int_equal(errno, ERRNO_SENTINEL);
}

TEST(errno_is_kept_on_success)
{
    for (size_t size = 0; size <= TEST_HEAP_BYTES / 4; size = size * 3 / 2 + 1)
        allocate_with_errno_kept(size);
}

TEST(errno_is_kept_on_success_with_mmap)
{
    AO_malloc_enable_mmap();
    for (size_t size = 0; size <= 16 * MIB; size = size * 3 / 2 + 1)
        allocate_with_errno_kept(size);
}

TEST(errno_is_kept_by_free_after_a_failure)
{
    struct chain chain = {0};

    chain_exhaust(&chain, 3000);
    assert_int_equal(errno, ENOMEM);
    errno = ERRNO_SENTINEL;
    chain_free(&chain);
    assert_int_equal(errno, ERRNO_SENTINEL);
}

TEST(free_of_null_does_nothing)
{
    errno = ERRNO_SENTINEL;
    AO_free(NULL);
    assert_int_equal(errno, ERRNO_SENTINEL);
    AO_malloc_enable_mmap();
    AO_free(NULL);
    assert_int_equal(errno, ERRNO_SENTINEL);
}
