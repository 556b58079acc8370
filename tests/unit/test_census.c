/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* The census counts right, and finds what is wrong: broken by hand in a child, which must abort. */

#include "unit.h"
#include "rng.h"

enum { CLASS = 31 }; /* 1024 bytes, 8 blocks in a run */

static void *blocks[BLOCKS_MAX];
static struct aoma_run *run;

TEST(an_unused_heap_counts_nothing)
{
    struct aoma_census census = checked_census(0);

    assert_int_equal(census.segments, 0);
    assert_int_equal(census.chunks_owned, 0);
    aoma_segment_install_static();
    census = checked_census(0);
    assert_int_equal(census.chunks_owned, TEST_HEAP_BYTES / AOMA_CHUNK_BYTES);
    assert_int_equal(census.chunks_taken, 0);
    assert_in_range(census.segments, 1, AOMA_STATIC_SEGMENTS);
}

TEST(groups_are_counted)
{
    aoma_segment_install_static();
    struct aoma_census before = checked_census(0);
    add_group();
    struct aoma_census after = checked_census(0);
    assert_int_equal(after.segments, before.segments + AOMA_GROUP_SEGMENTS);
    assert_int_equal(after.chunks_owned, before.chunks_owned + AOMA_GROUP_BYTES / AOMA_CHUNK_BYTES);
}

TEST(runs_are_counted_by_state)
{
    bool clean;

    add_group();
    struct aoma_run *active = aoma_run_make(CLASS, AOMA_RUN_NORMAL);
    struct aoma_run *partial = aoma_run_make(CLASS, AOMA_RUN_NORMAL);
    struct aoma_run *full = aoma_run_make(CLASS, AOMA_RUN_NORMAL);
    take_blocks(active, CLASS, blocks, 2);
    take_blocks(partial, CLASS, blocks, 3);
    take_blocks(full, CLASS, blocks, BLOCKS_MAX);
    aoma_run_retire(partial);
    aoma_run_retire(full);
    assert_non_null(aoma_large_alloc(5 * AOMA_CHUNK_BYTES, 1, 0, &clean));

    struct aoma_census census = checked_census(0);
    assert_int_equal(census.active, 1);
    assert_int_equal(census.partial, 1);
    assert_int_equal(census.full, 2);
    assert_int_equal(census.large, 1);
    assert_int_equal(census.blocks, 3 * 8);
    assert_int_equal(census.blocks_free, 6 + 5);
    assert_int_equal(census.chunks_in_runs, 3 + 5);
    assert_int_equal(census.chunks_taken, 3 + 5);
}

TEST(chunks_in_hands_show_as_difference)
{
    bool clean;

    add_group();
    aoma_segment_take(7, 1, &clean);
    assert_int_equal(chunks_held(), 7);
}

/* ---- what must be found ---- */

static void take_census(void *unused)
{
    struct aoma_census census;
    (void)unused;
    aoma_census_take(&census);
}

static void lose_partial_bit(void *unused)
{
    aoma_fetch_clear_full(&run->segment->partial[CLASS], (uint64_t)1 << chunk_of(run));
    take_census(unused);
}

static void list_in_wrong_class(void *unused)
{
    aoma_fetch_clear_full(&run->segment->partial[CLASS], (uint64_t)1 << chunk_of(run));
    aoma_fetch_or_full(&run->segment->partial[CLASS + 1], (uint64_t)1 << chunk_of(run));
    take_census(unused);
}

static void free_without_settling(void *unused)
{
    aoma_fetch_or_full(&run->free[0], 1);
    take_census(unused);
}

static void free_beyond_the_last_block(void *unused)
{
    aoma_fetch_or_full(&run->free[0], (uint64_t)1 << count_of(run));
    take_census(unused);
}

static void free_in_a_word_too_many(void *unused)
{
    aoma_fetch_or_full(&run->free[AOMA_RUN_WORDS - 1], 1);
    take_census(unused);
}

static void make_run(unsigned taken)
{
    aoma_segment_install_static();
    run = aoma_run_make(CLASS, AOMA_RUN_NORMAL);
    take_blocks(run, CLASS, blocks, taken);
}

#define EXTRA "aomalloc: internal error: a run has a free block that it does not have"
#define UNLISTED "aomalloc: internal error: a run that is not listed has free blocks"
#define NO_BIT "aomalloc: internal error: a partial run has no partial bit"

TEST(a_partial_run_without_its_bit_is_found)
{
    make_run(3);
    aoma_run_retire(run);
    make_run(3); /* one beside it is listed */
    aoma_run_retire(run);
    take_census(NULL);
    assert_aborts(lose_partial_bit, NULL, NO_BIT);
    assert_aborts(list_in_wrong_class, NULL, NO_BIT);
}

TEST(a_free_block_of_a_full_run_is_found)
{
    make_run(BLOCKS_MAX);
    aoma_run_retire(run);
    take_census(NULL);
    assert_aborts(free_without_settling, NULL, UNLISTED);
}

TEST(a_block_too_many_is_found)
{
    make_run(3);
    take_census(NULL);
    assert_aborts(free_beyond_the_last_block, NULL, EXTRA);
    assert_aborts(free_in_a_word_too_many, NULL, EXTRA);
    aoma_run_retire(run);
    assert_aborts(free_beyond_the_last_block, NULL, EXTRA);
}

TEST(a_census_of_a_good_heap_is_quiet)
{
    struct rng rng = rng_stream(test_seed(), 1);

    add_group();
    for (unsigned i = 0; i < 200; i++) {
        unsigned class = (unsigned)rng_below(&rng, AOMA_CLASSES);
        struct aoma_run *made = aoma_run_make(class, AOMA_RUN_MINIMAL);
        if (!made)
            break;
        take_blocks(made, class, blocks, (unsigned)rng_below(&rng, count_of(made) + 1));
        if (rng_below(&rng, 2))
            aoma_run_retire(made);
    }
    checked_census(0);
}
