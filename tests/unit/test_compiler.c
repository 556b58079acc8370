/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* The helpers of compiler.h and the relations between the constants of units.h that code relies on. */

#include "unit.h"

TEST(lowest_bit_is_found_whatever_is_above)
{
    for (unsigned bit = 0; bit < 64; bit++) {
        CHECK(aoma_lowest_bit(1ull << bit) == bit);
        CHECK(aoma_lowest_bit(~0ull << bit) == bit);
    }
}

TEST(bits_are_counted)
{
    for (unsigned bit = 0; bit < 64; bit++) {
        CHECK(aoma_count_bits(UINT64_C(1) << bit) == 1);
        CHECK(aoma_count_bits(UINT64_MAX >> bit) == 64 - bit);
        CHECK(aoma_count_bits(UINT64_MAX << bit) == 64 - bit);
        CHECK(aoma_count_bits(UINT64_C(0x9249249249249249) << bit) ==
              (unsigned)__builtin_popcountll(UINT64_C(0x9249249249249249) << bit));
    }
    assert_int_equal(aoma_count_bits(0), 0);
}

TEST(ceil_log2_is_the_smallest_that_suffices)
{
    unsigned log2 = 0;

    for (size_t x = 1; x <= 4096; x++) {
        if (x > (size_t)1 << log2)
            log2++;
        CHECK(aoma_ceil_log2(x) == log2);
    }
    assert_int_equal(aoma_ceil_log2(SIZE_MAX), 8 * sizeof(size_t));
    assert_int_equal(aoma_ceil_log2(SIZE_MAX / 2 + 1), 8 * sizeof(size_t) - 1);
    assert_int_equal(aoma_ceil_log2(SIZE_MAX / 2 + 2), 8 * sizeof(size_t));
}

TEST(prefetching_changes_nothing)
{
    int value = 5;

    aoma_prefetch_for_change(&value);
    assert_int_equal(value, 5);
}

TEST(units_contain_each_other)
{
    assert_int_equal(AOMA_CHUNK_BYTES % AOMA_UNIT_BYTES, 0);
    assert_int_equal(AOMA_SEGMENT_BYTES, AOMA_SEGMENT_CHUNKS * AOMA_CHUNK_BYTES);
    assert_int_equal(AOMA_GROUP_BYTES, AOMA_GROUP_SEGMENTS * AOMA_SEGMENT_BYTES);
    assert_int_equal(AOMA_SEGMENT_BYTES % AOMA_PAGE_BYTES, 0);
    assert_int_equal(AOMA_STATIC_HEAP_BYTES, TEST_HEAP_BYTES);
    assert_true(AOMA_STATIC_SEGMENTS * AOMA_SEGMENT_BYTES >= TEST_HEAP_BYTES + AOMA_SEGMENT_BYTES);
    assert_true(AOMA_MAX_REQUEST_BYTES + AOMA_GROUP_BYTES < PTRDIFF_MAX);
}
