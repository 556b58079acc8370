/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* A program that links libaomalloc itself, with the library preloaded: its AO_malloc and its malloc share one heap. */

#include "test.h"

#include <aomalloc.h>

#include <malloc.h>
#include <stdlib.h>

TEST(the_preloaded_library_is_used)
{
    assert_string_equal(AO_malloc_variant(), getenv("TEST_PRELOAD_VARIANT"));
    assert_int_equal(AO_malloc_version(), AOMALLOC_VERSION);
}

TEST(either_frees_what_the_other_gave)
{
    for (size_t size = 0; size < 8 * MIB; size = size * 2 + 1) {
        void *block = malloc(size);
        assert_true(AO_malloc_usable_size(block) >= size);
        AO_free(block);
        block = AO_malloc(size);
        assert_true(malloc_usable_size(block) >= size);
        free(block);
        block = AO_realloc(malloc(size), size + 100);
        assert_non_null(block);
        free(block);
        block = realloc(AO_aligned_alloc(4096, size), size + 100);
        assert_non_null(block);
        AO_free(block);
    }
}

/* The limit of one is that of the other, and so is trim. */
TEST(the_heap_is_governed_as_one)
{
    void *block = malloc(64 * MIB);

    assert_non_null(block);
    AO_malloc_set_limit(0);
    assert_null(malloc(opaque_size(128 * MIB)));
    AO_malloc_set_limit(SIZE_MAX);
    free(block);
    block = malloc(opaque_size(100 * KIB));
    assert_non_null(block);
    ((volatile char *)block)[0] = 1;
    free(block);
    assert_true(AO_malloc_trim() > 0);
}
