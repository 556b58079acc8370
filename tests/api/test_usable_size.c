/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* AO_malloc_usable_size: what it promises, what rounding costs. */

#include "test.h"

#include <aomalloc.h>

#include <errno.h>
#include <string.h>

enum { HELD = 64, WINDOW_BYTES = 524288 };

TEST(usable_size_of_null_is_0)
{
    errno = ERRNO_SENTINEL;
    assert_int_equal(AO_malloc_usable_size(NULL), 0);
    assert_int_equal(errno, ERRNO_SENTINEL);
}

TEST(usable_size_is_at_least_the_size)
{
    AO_malloc_enable_mmap();
    for (size_t size = 0; size <= 16 * MIB; size = size + 1 + size / 64) {
        void *block = AO_malloc(size);
        assert_non_null(block);
        errno = ERRNO_SENTINEL;
        assert_true(AO_malloc_usable_size(block) >= size);
        assert_int_equal(errno, ERRNO_SENTINEL);
        AO_free(block);
    }
}

TEST(usable_size_is_the_same_for_all_blocks_of_a_size)
{
    for (size_t size = 1; size < 4096; size += 61) {
        void *first = AO_malloc(size), *second = AO_malloc(size);
        assert_int_equal(AO_malloc_usable_size(first), AO_malloc_usable_size(second));
        AO_free(first);
        AO_free(second);
    }
}

static void use_all_of(size_t size)
{
    unsigned char *blocks[HELD];
    size_t count = 16 * MIB / (size + 1) < HELD ? 3 : HELD;

    for (size_t i = 0; i < count; i++) {
        blocks[i] = AO_malloc(size);
        assert_non_null(blocks[i]);
        memset(blocks[i], (int)i + 1, AO_malloc_usable_size(blocks[i]));
    }
    for (size_t i = 0; i < count; i++) {
        size_t usable = AO_malloc_usable_size(blocks[i]);
        for (size_t at = 0; at < usable; at++)
            CHECK(blocks[i][at] == (unsigned char)(i + 1));
        AO_free(blocks[i]);
    }
}

TEST(all_usable_bytes_can_be_used)
{
    AO_malloc_enable_mmap();
    for (size_t size = 0; size <= 4 * MIB; size = size * 6 / 5 + 7)
        use_all_of(size);
}

TEST(rounding_costs_at_most_an_eighth)
{
    AO_malloc_enable_mmap();
    for (size_t size = 1; size <= 512 * KIB; size++) {
        void *block = AO_malloc(size);
        assert_non_null(block);
        size_t spare = AO_malloc_usable_size(block) - size;
        if (spare > (size <= 128 ? 15 : size / 8))
            fail_msg("%zu bytes are rounded up by %zu", size, spare);
        AO_free(block);
    }
}

TEST(rounding_of_large_blocks_ends_at_a_window)
{
    AO_malloc_enable_mmap();
    for (size_t size = 512 * KIB; size <= 8 * MIB; size += 77777) {
        void *block = AO_malloc(size);
        assert_non_null(block);
        assert_true(AO_malloc_usable_size(block) - size < WINDOW_BYTES);
        AO_free(block);
    }
}
