/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* What the library says of itself. */

#include "test.h"

#include <aomalloc.h>

#include <errno.h>
#include <string.h>

TEST(version_is_that_of_the_header)
{
    assert_int_equal(AO_malloc_version(), AOMALLOC_VERSION);
    assert_int_equal(AOMALLOC_VERSION,
                     AOMALLOC_VERSION_MAJOR * 10000 + AOMALLOC_VERSION_MINOR * 100 + AOMALLOC_VERSION_PATCH);
    assert_string_equal(TEST_VERSION, TEST_STRING(AOMALLOC_VERSION_MAJOR) "." TEST_STRING(
                                          AOMALLOC_VERSION_MINOR) "." TEST_STRING(AOMALLOC_VERSION_PATCH));
}

TEST(variant_is_that_of_the_build)
{
    assert_string_equal(AO_malloc_variant(), TEST_VARIANT);
    assert_ptr_equal(AO_malloc_variant(), AO_malloc_variant());
}

TEST(mode_begins_with_cas_before_mmap)
{
    assert_int_equal(strncmp(AO_malloc_mode(), "cas", 3), 0);
    AO_malloc_enable_mmap();
    assert_true(strncmp(AO_malloc_mode(), "cas", 3) == 0 || strcmp(AO_malloc_mode(), "rseq") == 0 ||
                strcmp(AO_malloc_mode(), "tls") == 0);
}

TEST(is_lock_free)
{
    assert_int_equal(AO_malloc_is_lock_free(), 1);
    assert_int_equal(AO_MALLOC_IS_LOCK_FREE, 1);
}

TEST(errno_is_kept)
{
    errno = ERRNO_SENTINEL;
    assert_true(AO_malloc_version() > 0);
    assert_non_null(AO_malloc_variant());
    assert_true(AO_malloc_is_lock_free());
    AO_malloc_set_limit(SIZE_MAX);
    AO_malloc_enable_mmap();
    AO_malloc_enable_mmap();
    AO_malloc_trim();
    assert_int_equal(errno, ERRNO_SENTINEL);
}
