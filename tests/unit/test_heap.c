/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

#include "unit.h"
#include "interleave.h"

#define FIRST_SIZE (AOMA_VARIANT_FEW_FIRST_BYTES ? AOMA_RUN_FEW : AOMA_RUN_ROOMY) /* of a larger class's runs */

/* 16 bytes: 8 words in a run; 64 bytes: 2 words; 1024 bytes: 8 blocks, roomy 64; 64 KiB: one block. */
enum { CLASS_8_WORDS = 0, CLASS_2_WORDS = 3, CLASS_1K = 31, CLASS_64K = 79 };

static struct aoma_heap heap;
static void *blocks[4 * BLOCKS_MAX];

static struct aoma_run *header_run(unsigned class)
{
    return aoma_active_run(aoma_ptr_load_acquire(&heap.active[class]));
}

static void *alloc(unsigned class)
{
    void *block = heap_take(&heap, class);
    return block ? block : aoma_heap_refill(&heap, class);
}

/* Blocks until the header's run has no free one. */
static unsigned empty_header(unsigned class)
{
    unsigned count = 0;
    do {
        blocks[count++] = alloc(class);
        CHECK(blocks[count - 1]);
    } while (run_has_free(header_run(class)));
    return count;
}

TEST(a_zero_heap_is_a_good_heap)
{
    for (unsigned class = 0; class < AOMA_CLASSES; class ++) {
        assert_null(heap_take(&heap, class));
        assert_null(aoma_heap_alloc_existing(&heap, class));
    }
    assert_false(aoma_heap_reclaim(&heap));
    for (unsigned class = 0; class < AOMA_CLASSES; class ++) {
        void *block = alloc(class);
        if (!block) /* the static heap may be small */
            break;
        assert_ptr_equal(header_run(class), run_of(block));
        check_run(run_of(block), AOMA_RUN_ACTIVE, class, count_of(run_of(block)));
    }
    checked_census(0);
}

TEST(every_block_comes_from_the_header_until_it_has_none)
{
    void *first = alloc(CLASS_1K);
    struct aoma_run *run = run_of(first);

    for (unsigned i = 1; i < count_of(run); i++)
        assert_ptr_equal(run_of(heap_take(&heap, CLASS_1K)), run);
    assert_null(heap_take(&heap, CLASS_1K));
    assert_ptr_equal(header_run(CLASS_1K), run);
}

/* The header looks at one word; refilling goes on with the next. */
TEST(refill_first_goes_on_with_other_words_of_the_run)
{
    struct aoma_run *run = run_of(alloc(CLASS_8_WORDS));
    unsigned taken = 1;

    for (; taken < count_of(run); taken++) {
        void *block = alloc(CLASS_8_WORDS);
        assert_ptr_equal(run_of(block), run);
        unsigned index = 0;
        assert_true(run_finds(run, (uintptr_t)block, &index));
        assert_int_equal(index, taken);
        assert_int_equal(aoma_active_word(aoma_ptr_load_acquire(&heap.active[CLASS_8_WORDS])), index / 64);
    }
    assert_false(run_has_free(run));
    assert_ptr_not_equal(run_of(alloc(CLASS_8_WORDS)), run);
    check_run(run, AOMA_RUN_FULL, CLASS_8_WORDS, taken);
}

TEST(refill_finds_a_block_freed_in_a_word_left_behind)
{
    unsigned count = empty_header(CLASS_8_WORDS);
    struct aoma_run *run = header_run(CLASS_8_WORDS);

    assert_int_equal(count, BLOCKS_MAX);
    give(blocks[5]);
    assert_null(heap_take(&heap, CLASS_8_WORDS));
    assert_ptr_equal(aoma_heap_refill(&heap, CLASS_8_WORDS), blocks[5]);
    assert_ptr_equal(header_run(CLASS_8_WORDS), run);
}

TEST(refill_prefers_a_partial_run_to_a_new_one)
{
    empty_header(CLASS_1K);
    struct aoma_run *first = header_run(CLASS_1K);
    void *kept = blocks[2];

    empty_header(CLASS_1K);
    check_run(first, AOMA_RUN_FULL, CLASS_1K, count_of(first));
    give(kept);
    check_run(first, AOMA_RUN_PARTIAL, CLASS_1K, count_of(first));
    struct aoma_run *second = header_run(CLASS_1K);
    assert_ptr_equal(alloc(CLASS_1K), kept);
    assert_ptr_equal(header_run(CLASS_1K), first);
    check_run(first, AOMA_RUN_ACTIVE, CLASS_1K, count_of(first));
    check_run(second, AOMA_RUN_FULL, CLASS_1K, count_of(second));
}

/* Without mmap: the lowest run, so that higher ones become empty. */
TEST(refill_takes_the_lowest_partial_run_of_the_static_heap)
{
    enum { RUNS = 5 };
    void *last_of_run[RUNS];

    for (unsigned i = 0; i < RUNS; i++)
        last_of_run[i] = blocks[empty_header(CLASS_1K) - 1];
    give(last_of_run[2]);
    give(last_of_run[1]);
    give(last_of_run[3]);
    assert_ptr_equal(alloc(CLASS_1K), last_of_run[1]);
    give(last_of_run[0]);
    assert_ptr_equal(alloc(CLASS_1K), last_of_run[0]);
    assert_ptr_equal(alloc(CLASS_1K), last_of_run[2]);
    assert_ptr_equal(alloc(CLASS_1K), last_of_run[3]);
}

/* A full run of which then so many blocks come free; the header holds another one that is full. */
static struct aoma_run *run_with_few_free(unsigned class, enum aoma_run_size size, unsigned few, void **kept)
{
    empty_header(class);
    struct aoma_run *run = header_run(class);

    assert_int_equal(chunks_of(run), aoma_class_chunks(class, size));
    for (unsigned i = 0; i < count_of(run); i++)
        kept[i] = blocks[i];
    empty_header(class);
    for (unsigned i = 0; i < few; i++)
        give(kept[i]);
    return run;
}

/* Where memory can still be had, a run of whose blocks hardly any is free is left to gather more. */
TEST(refill_passes_by_an_almost_full_run_when_there_is_mmap)
{
    enum { FEW = 64 * 3 / 16 - 1 }; /* of its first word */
    const unsigned class = aoma_class_of(512);
    void *kept[BLOCKS_MAX] = {NULL};

    only_group();
    struct aoma_run *run = run_with_few_free(class, AOMA_RUN_ROOMY, FEW, kept);
    assert_ptr_not_equal(run_of(alloc(class)), run);
    check_run(run, AOMA_RUN_PARTIAL, class, count_of(run));
    while (run_has_free(header_run(class)))
        alloc(class);
    give(kept[FEW]);
    assert_ptr_equal(run_of(alloc(class)), run);
}

/* In variants that want it so the first of larger blocks are not, until the class has as many chunks as a roomy one. */
TEST(runs_of_larger_blocks_are_roomy_when_there_are_many)
{
    const unsigned roomy = aoma_class_chunks(CLASS_1K, AOMA_RUN_ROOMY), few = aoma_class_chunks(CLASS_1K, FIRST_SIZE);
    struct aoma_run *runs[9];
    unsigned count = 0;

    only_group();
    assert_int_equal(chunks_of(run_of(alloc(aoma_class_of(512)))), roomy);
    for (unsigned chunks = 0; chunks < roomy; chunks += few) {
        empty_header(CLASS_1K);
        runs[count] = header_run(CLASS_1K);
        assert_int_equal(chunks_of(runs[count++]), few);
    }
    assert_int_equal(chunks_of(run_of(alloc(CLASS_1K))), roomy);
    assert_int_equal(aoma_run_chunks_of(CLASS_1K), AOMA_VARIANT_FEW_FIRST_BYTES ? 2 * roomy : 0);
    for (unsigned run = 0; run < count; run++)
        for (unsigned i = 0; i < few * AOMA_CHUNK_BYTES / KIB; i++)
            give((void *)(base_of(runs[run]) + i * KIB));
    assert_int_equal(aoma_run_chunks_of(CLASS_1K), AOMA_VARIANT_FEW_FIRST_BYTES ? roomy : 0);
}

/* Not of large blocks, where memory counts for more. */
TEST(refill_takes_an_almost_full_run_of_large_blocks)
{
    void *kept[BLOCKS_MAX] = {NULL};

    only_group();
    struct aoma_run *run = run_with_few_free(CLASS_1K, FIRST_SIZE, 1, kept);
    assert_ptr_equal(run_of(alloc(CLASS_1K)), run);
}

/* When nothing else is left, also an almost full run is good enough. */
TEST(refill_takes_the_last_free_block_when_memory_is_short)
{
    only_group();
    aoma_source_set_limit(0);
    void *any = alloc(CLASS_1K);
    while (alloc(CLASS_1K) != NULL)
        ;
    give(any);
    assert_ptr_equal(alloc(CLASS_1K), any);
    assert_null(alloc(CLASS_1K));
    checked_census(chunks_held());
}

TEST(refill_makes_smaller_runs_when_memory_is_short)
{
    enum { CLASS = 28 }; /* 832 bytes: 2 chunks, roomy 6 */
    struct aoma_segment *segment = only_group();

    aoma_source_set_limit(0);
    hold_all_chunks();
    assert_null(alloc(CLASS));
    aoma_segment_give(segment, 10, 5);
    assert_int_equal(chunks_of(run_of(alloc(CLASS))), aoma_class_chunks(CLASS, AOMA_RUN_NORMAL));
    hold_all_chunks();
    aoma_segment_give(segment, 20, 1);
    empty_header(CLASS);
    assert_int_equal(chunks_of(run_of(alloc(CLASS))), aoma_class_chunks(CLASS, AOMA_RUN_MINIMAL));
    assert_ptr_equal(header_run(CLASS), &segment->run[20]);
}

TEST(refill_grows_the_heap_when_there_is_no_run)
{
    use_up_static_heap();
    assert_null(alloc(CLASS_1K));
    aoma_source_enable_mmap();
    size_t mapped = aoma_source_mapped_bytes();
    assert_non_null(alloc(CLASS_1K));
    assert_true(aoma_source_mapped_bytes() >= mapped + AOMA_GROUP_BYTES);
}

TEST(a_run_of_one_block_is_replaced_at_each_refill)
{
    add_group();
    void *first = alloc(CLASS_64K), *second = alloc(CLASS_64K);

    assert_ptr_not_equal(run_of(first), run_of(second));
    check_run(run_of(first), AOMA_RUN_FULL, CLASS_64K, 1);
    check_run(run_of(second), AOMA_RUN_ACTIVE, CLASS_64K, 1);
    struct aoma_run *run = run_of(first);
    give(first);
    assert_int_equal(state_of(run), AOMA_RUN_EMPTY);
}

/* ---- existing runs only ---- */

TEST(alloc_existing_makes_nothing)
{
    aoma_segment_install_static();
    assert_null(aoma_heap_alloc_existing(&heap, CLASS_1K));
    assert_int_equal(checked_census(0).chunks_taken, 0);

    unsigned count = empty_header(CLASS_1K);
    size_t taken = checked_census(0).chunks_taken;
    assert_null(aoma_heap_alloc_existing(&heap, CLASS_1K));
    give(blocks[count - 1]);
    assert_ptr_equal(aoma_heap_alloc_existing(&heap, CLASS_1K), blocks[count - 1]); /* the header's */
    assert_int_equal(checked_census(0).chunks_taken, taken);
}

TEST(alloc_existing_takes_any_partial_run)
{
    only_group();
    empty_header(CLASS_1K);
    void *kept = blocks[0];
    empty_header(CLASS_1K);
    give(kept); /* one block, which a refill would pass by */
    assert_ptr_equal(aoma_heap_alloc_existing(&heap, CLASS_1K), kept);
    assert_null(aoma_heap_alloc_existing(&heap, CLASS_1K));
}

/* ---- reclaiming ---- */

TEST(reclaim_takes_back_idle_runs_of_every_class)
{
    add_group();
    for (unsigned class = 0; class < AOMA_CLASSES; class ++)
        give(alloc(class));
    assert_int_equal(checked_census(0).active, AOMA_CLASSES);
    assert_true(aoma_heap_reclaim(&heap));
    assert_int_equal(checked_census(0).chunks_taken, 0);
    for (unsigned class = 0; class < AOMA_CLASSES; class ++)
        assert_int_equal(aoma_ptr_load_acquire(&heap.active[class]), 0);
    assert_false(aoma_heap_reclaim(&heap));
}

TEST(reclaim_leaves_runs_in_use)
{
    void *block = alloc(CLASS_2_WORDS);

    assert_false(aoma_heap_reclaim(&heap));
    assert_ptr_equal(header_run(CLASS_2_WORDS), run_of(block));
    check_run(run_of(block), AOMA_RUN_ACTIVE, CLASS_2_WORDS, count_of(run_of(block)));
}

TEST(heaps_share_partial_runs)
{
    static struct aoma_heap other;

    unsigned count = empty_header(CLASS_1K);
    for (unsigned i = 0; i < count; i++)
        give(blocks[i]);
    give(alloc(CLASS_2_WORDS));
    assert_true(aoma_heap_reclaim(&heap));
    alloc(CLASS_1K); /* a run, the lowest */
    empty_header(CLASS_1K);
    void *kept = blocks[0];
    empty_header(CLASS_1K);
    give(kept);
    assert_ptr_equal(aoma_heap_refill(&other, CLASS_1K), kept);
    assert_ptr_equal(aoma_active_run(aoma_ptr_load_acquire(&other.active[CLASS_1K])), run_of(kept));
}

TEST(a_run_taken_out_of_a_header_moves_to_another)
{
    static struct aoma_heap other;
    void *block = alloc(CLASS_1K);

    struct aoma_run *run = aoma_heap_take_run(&heap, CLASS_1K);
    assert_ptr_equal(run, run_of(block));
    assert_int_equal(aoma_ptr_load_acquire(&heap.active[CLASS_1K]), 0);
    assert_null(aoma_heap_take_run(&heap, CLASS_1K));
    assert_ptr_equal(run_of(aoma_heap_adopt(&other, CLASS_1K, run)), run);
    assert_ptr_equal(aoma_active_run(aoma_ptr_load_acquire(&other.active[CLASS_1K])), run);
    check_run(run, AOMA_RUN_ACTIVE, CLASS_1K, count_of(run));
}

/* The hint for free(): whatever it says must be a run or nothing. */
TEST(the_recent_run_is_the_one_put_into_a_header)
{
    add_group();
    for (unsigned class = 0; class < AOMA_CLASSES; class ++) {
        void *block = alloc(class);
        assert_ptr_equal(recent_run(), run_of(block));
    }
}

/* ---- in the middle of each other ---- */

static void *first_block, *second_block;
static size_t held;

static void alloc_first(void)
{
    first_block = alloc(CLASS_1K);
}

static void alloc_second(void)
{
    second_block = alloc(CLASS_1K);
}

static void refill_first(void)
{
    first_block = aoma_heap_refill(&heap, CLASS_1K);
}

static void reclaim(void)
{
    (void)aoma_heap_reclaim(&heap);
}

/* Nothing is lost: when all is given back and reclaimed, no run is left. */
static void check_all_comes_back(void)
{
    checked_census(held);
    if (first_block)
        give(first_block);
    if (second_block)
        give(second_block);
    reclaim();
    CHECK(checked_census(held).chunks_in_runs == 0);
}

static void check_two_blocks(void)
{
    CHECK(first_block && second_block && first_block != second_block);
    check_all_comes_back();
}

TEST(two_first_allocations_at_once_get_different_blocks)
{
    aoma_segment_install_static();
    interleave_sparsely(4, alloc_first, alloc_second, check_two_blocks);
}

TEST(two_refills_at_once_lose_no_run)
{
    add_group();
    interleave_sparsely(4, refill_first, alloc_second, check_two_blocks);
}

TEST(reclaiming_leaves_a_block_that_is_taken_meanwhile)
{
    aoma_segment_install_static();
    give(alloc(CLASS_1K));
    interleave(reclaim, alloc_first, check_all_comes_back);
}

TEST(a_run_reclaimed_during_an_allocation_is_not_used)
{
    aoma_segment_install_static();
    give(alloc(CLASS_1K));
    interleave_sparsely(4, alloc_first, reclaim, check_all_comes_back);
}

static void reclaim_and_alloc_another_class(void)
{
    reclaim();
    second_block = alloc(CLASS_2_WORDS);
}

/* The run that the refill has found in the header is another class's when it takes a block. */
TEST(a_block_of_another_class_that_a_refill_took_goes_back)
{
    aoma_segment_install_static();
    give(alloc(CLASS_1K));
    interleave(refill_first, reclaim_and_alloc_another_class, check_two_blocks);
}

static void *kept_block;

static void give_kept(void)
{
    give(kept_block);
    kept_block = NULL;
}

static void check_kept_comes_back(void)
{
    CHECK(first_block);
    for (unsigned i = 0; blocks[i]; i++) {
        if (blocks[i] != first_block)
            give(blocks[i]);
    }
    check_all_comes_back();
}

/* The header's run has no free block, and gets one while the refill moves on. */
TEST(a_block_freed_during_a_refill_is_not_lost)
{
    aoma_segment_install_static();
    unsigned count = empty_header(CLASS_1K);
    kept_block = blocks[count - 1];
    blocks[count - 1] = NULL;
    interleave_sparsely(4, alloc_first, give_kept, check_kept_comes_back);
}

static aoma_active stale;

static void steal(void)
{
    second_block = take_from_word(stale, CLASS_1K);
}

/* A run is brought for its only free block, and a late thread takes that. */
static void *blocks_of_first_run[BLOCKS_MAX + 1];

static void check_stolen_comes_back(void)
{
    CHECK(first_block && second_block != first_block);
    for (unsigned i = 0; blocks_of_first_run[i]; i++)
        give(blocks_of_first_run[i]);
    check_kept_comes_back();
}

TEST(a_run_whose_last_block_is_stolen_during_a_refill_is_not_lost)
{
    aoma_segment_install_static();
    unsigned count = empty_header(CLASS_1K);
    stale = aoma_active_at(header_run(CLASS_1K), 0);
    for (unsigned i = 0; i < count; i++)
        blocks_of_first_run[i] = blocks[i];
    blocks[empty_header(CLASS_1K)] = NULL;
    give(blocks_of_first_run[count - 1]);
    blocks_of_first_run[count - 1] = NULL;
    interleave_sparsely(2, alloc_first, steal, check_stolen_comes_back);
}

static void replace_run(void)
{
    first_block = alloc(CLASS_64K);
    second_block = alloc(CLASS_64K);
}

TEST(a_run_put_into_the_header_during_a_reclaim_stays)
{
    add_group();
    give(alloc(CLASS_64K));
    interleave(reclaim, replace_run, check_two_blocks);
}

/* Until another run is in the header. */
static void fill_header_run(void)
{
    struct aoma_run *run = header_run(CLASS_2_WORDS);
    unsigned count = 0;

    while (header_run(CLASS_2_WORDS) == run)
        blocks_of_first_run[count++] = alloc(CLASS_2_WORDS);
}

static void alloc_of_next_word(void)
{
    first_block = alloc(CLASS_2_WORDS);
}

static void check_words_come_back(void)
{
    for (unsigned i = 0; blocks_of_first_run[i]; i++)
        give(blocks_of_first_run[i]);
    check_kept_comes_back();
}

/* The header's word has no block, and its run leaves the header while another word is chosen. */
TEST(a_run_put_into_the_header_while_another_word_is_chosen_stays)
{
    aoma_segment_install_static();
    for (unsigned i = 0; i < 64; i++)
        blocks[i] = alloc(CLASS_2_WORDS);
    assert_true(run_has_free(header_run(CLASS_2_WORDS)));
    interleave_sparsely(4, alloc_of_next_word, fill_header_run, check_words_come_back);
}
