/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* The tables against the rules that docs/design.md states, worked out here once more. */

#include "unit.h"

/* The size after a class of this many bytes. */
static size_t next_size(size_t bytes)
{
    size_t power = 128;

    if (bytes < 128)
        return bytes + 16;
    while (power * 2 <= bytes)
        power *= 2;
    return bytes + power / 8;
}

TEST(classes_follow_the_rule)
{
    size_t bytes = 16;

    for (unsigned class = 0; class < AOMA_CLASSES; class ++) {
        assert_int_equal(aoma_class_bytes(class), bytes);
        assert_int_equal(bytes % AOMA_UNIT_BYTES, 0);
        if (class + 1 < AOMA_CLASSES)
            bytes = next_size(bytes);
    }
    assert_int_equal(bytes, AOMA_CLASS_MAX_BYTES);
}

TEST(each_size_gets_the_smallest_class)
{
    unsigned class = 0;

    for (size_t bytes = 0; bytes <= AOMA_CLASS_MAX_BYTES; bytes++) {
        if (bytes > aoma_class_bytes(class))
            class ++;
        CHECK(aoma_class_of(bytes) == class);
        if (bytes <= AOMA_CLASS_LOOKUP_BYTES)
            CHECK(aoma_class_look_up(bytes) == class);
        if (bytes > 128)
            CHECK(aoma_class_compute(bytes) == class);
    }
    assert_int_equal(class, AOMA_CLASSES - 1);
}

TEST(rounding_is_at_most_an_eighth)
{
    for (size_t bytes = 129; bytes <= AOMA_CLASS_MAX_BYTES; bytes++)
        CHECK((aoma_class_bytes(aoma_class_of(bytes)) - bytes) * 8 <= bytes);
    for (size_t bytes = 1; bytes <= 128; bytes++)
        CHECK(aoma_class_bytes(aoma_class_of(bytes)) - bytes < AOMA_UNIT_BYTES);
}

/* What aligned_alloc relies on. */
TEST(powers_of_two_are_classes)
{
    for (size_t bytes = 16; bytes <= AOMA_CLASS_MAX_BYTES; bytes *= 2)
        assert_int_equal(aoma_class_bytes(aoma_class_of(bytes)), bytes);
}

static size_t tail_bytes(unsigned class, size_t chunks)
{
    return chunks * AOMA_CHUNK_BYTES % aoma_class_bytes(class);
}

static size_t block_count(unsigned class, size_t chunks)
{
    return chunks * AOMA_CHUNK_BYTES / aoma_class_bytes(class);
}

static bool is_tail_small(unsigned class, size_t chunks)
{
    return block_count(class, chunks) > 0 && tail_bytes(class, chunks) * 8 <= chunks * AOMA_CHUNK_BYTES;
}

TEST(normal_runs_are_the_shortest_with_a_small_tail)
{
    for (unsigned class = 0; class < AOMA_CLASSES; class ++) {
        unsigned chunks = aoma_class_chunks(class, AOMA_RUN_NORMAL);
        assert_true(is_tail_small(class, chunks));
        for (unsigned fewer = 1; fewer < chunks; fewer++)
            assert_false(is_tail_small(class, fewer));
    }
}

TEST(roomy_runs_hold_more_within_the_bits_of_a_descriptor)
{
    for (unsigned class = 0; class < AOMA_CLASSES; class ++) {
        unsigned normal = aoma_class_chunks(class, AOMA_RUN_NORMAL);
        unsigned roomy = aoma_class_chunks(class, AOMA_RUN_ROOMY);
        assert_true(roomy >= normal);
        assert_true(roomy <= AOMA_SEGMENT_CHUNKS);
        assert_true(is_tail_small(class, roomy));
        assert_true(block_count(class, roomy) <= BLOCKS_MAX);
    }
}

TEST(runs_of_few_blocks_have_some_and_a_small_tail)
{
    for (unsigned class = 0; class < AOMA_CLASSES; class ++) {
        unsigned normal = aoma_class_chunks(class, AOMA_RUN_NORMAL);
        unsigned roomy = aoma_class_chunks(class, AOMA_RUN_ROOMY);
        unsigned few = aoma_class_chunks(class, AOMA_RUN_FEW);
        assert_in_range(few, normal, roomy);
        assert_true(is_tail_small(class, few));
        assert_true(block_count(class, few) >= AOMA_FEW_BLOCKS || few == roomy);
        assert_true(few == normal || few == roomy || block_count(class, few - normal) < AOMA_FEW_BLOCKS);
    }
}

TEST(minimal_runs_hold_one_block_and_no_chunk_less)
{
    for (unsigned class = 0; class < AOMA_CLASSES; class ++) {
        unsigned chunks = aoma_class_chunks(class, AOMA_RUN_MINIMAL);
        assert_true(block_count(class, chunks) >= 1);
        assert_true(chunks <= aoma_class_chunks(class, AOMA_RUN_NORMAL));
        if (chunks > 1)
            assert_int_equal(block_count(class, chunks - 1), 0);
    }
}
