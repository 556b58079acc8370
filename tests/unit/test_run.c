/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

#include "unit.h"
#include "interleave.h"
#include "rng.h"

#include "aomalloc.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SMALLEST = 0, RUN_SIZES = AOMA_RUN_MINIMAL + 1 }; /* SMALLEST: the class with the most words */

static void *blocks[BLOCKS_MAX];

static bool is_taken(const struct aoma_segment *segment, unsigned chunk)
{
    return aoma_load_acquire(&segment->taken) >> chunk & 1;
}

/* ---- arithmetic ---- */

TEST(index_is_exact_for_each_class_and_offset)
{
    for (unsigned class = 0; class < AOMA_CLASSES; class ++) {
        uint32_t bytes = aoma_class_bytes(class);
        uint64_t divisor = aoma_divisor_of(bytes, class);
        for (uint32_t offset = 0; offset <= 128 * KIB; offset++) {
            unsigned index = BLOCKS_MAX;
            CHECK(aoma_block_begins(divisor, offset, &index) == (offset % bytes == 0));
            CHECK(offset % bytes != 0 || index == offset / bytes);
        }
        CHECK((divisor & AOMA_DIVISOR_CLASS_MASK) == class);
    }
}

TEST(large_objects_have_one_block)
{
    unsigned index = BLOCKS_MAX;

    assert_true(aoma_block_begins(AOMA_DIVISOR_LARGE, 0, &index));
    assert_int_equal(index, 0);
    for (uint32_t offset = 1; offset; offset *= 2)
        assert_false(aoma_block_begins(AOMA_DIVISOR_LARGE, offset, &index));
    assert_false(aoma_block_begins(AOMA_DIVISOR_LARGE, UINT32_MAX, &index));
}

TEST(blocks_mask_has_a_bit_for_each_block)
{
    for (unsigned count = 1; count <= BLOCKS_MAX; count++) {
        for (unsigned index = 0; index < (count + 63) / 64 * 64; index++) {
            uint64_t mask = aoma_blocks_mask(count, index / 64);
            CHECK((mask >> index % 64 & 1) == (index < count));
        }
    }
}

/* ---- making ---- */

static unsigned expected_count(unsigned class, enum aoma_run_size size)
{
    return (unsigned)(aoma_class_chunks(class, size) * AOMA_CHUNK_BYTES / aoma_class_bytes(class));
}

static struct aoma_run *make(unsigned class, enum aoma_run_size size)
{
    struct aoma_run *run = aoma_run_make(class, size);
    CHECK(run);
    return run;
}

static void for_each_class_and_size(void (*check)(unsigned, enum aoma_run_size))
{
    only_group();
    size_t held = chunks_held();
    for (unsigned class = 0; class < AOMA_CLASSES; class ++) {
        for (int size = 0; size < RUN_SIZES; size++) {
            check(class, (enum aoma_run_size)size);
            CHECK(checked_census(held).chunks_in_runs == 0);
        }
    }
}

static void check_made(unsigned class, enum aoma_run_size size)
{
    struct aoma_run *run = make(class, size);
    unsigned count = expected_count(class, size);

    check_run(run, AOMA_RUN_ACTIVE, class, count);
    CHECK(chunks_of(run) == aoma_class_chunks(class, size));
    CHECK(base_of(run) % AOMA_CHUNK_BYTES == 0);
    CHECK(free_blocks_of(run) == count);
    CHECK(aoma_run_is_idle(run) && run_has_free(run));
    for (unsigned i = 0; i < chunks_of(run); i++)
        CHECK(is_taken(segment_of(run), chunk_of(run) + i));
    CHECK(aoma_run_chunks_of(class) == (AOMA_VARIANT_FEW_FIRST_BYTES ? chunks_of(run) : 0));
    aoma_run_retire(run);
    CHECK(aoma_run_chunks_of(class) == 0);
}

TEST(a_new_run_has_all_its_blocks_free)
{
    for_each_class_and_size(check_made);
}

static int compare_addresses(const void *one, const void *other)
{
    uintptr_t a = *(const uintptr_t *)one, b = *(const uintptr_t *)other;
    return (a > b) - (a < b);
}

static void check_blocks(unsigned class, enum aoma_run_size size)
{
    struct aoma_run *run = make(class, size);
    unsigned count = take_blocks(run, class, blocks, BLOCKS_MAX);
    size_t bytes = aoma_class_bytes(class);

    CHECK(count == expected_count(class, size));
    for (unsigned i = 0; i < count; i++)
        memset(blocks[i], (int)i, bytes); /* in memory that is there */
    qsort(blocks, count, sizeof blocks[0], compare_addresses);
    CHECK((uintptr_t)blocks[0] == base_of(run));
    CHECK((uintptr_t)blocks[count - 1] + bytes <= base_of(run) + chunks_of(run) * AOMA_CHUNK_BYTES);
    for (unsigned i = 0; i < count; i++) {
        CHECK((uintptr_t)blocks[i] % AOMA_UNIT_BYTES == 0);
        CHECK(AO_malloc_usable_size(blocks[i]) == bytes); /* each chunk leads to the run */
        CHECK(i == 0 || (uintptr_t)blocks[i] - (uintptr_t)blocks[i - 1] == bytes);
        CHECK(aoma_run_in_use(run, i));
    }
    aoma_run_retire(run);
    for (unsigned i = 0; i < count; i++)
        give(blocks[i]);
}

TEST(blocks_are_distinct_and_within_the_run)
{
    for_each_class_and_size(check_blocks);
}

static void check_found(unsigned class, enum aoma_run_size size)
{
    struct aoma_run *run = make(class, size);
    size_t bytes = aoma_class_bytes(class);
    uintptr_t end = base_of(run) + chunks_of(run) * AOMA_CHUNK_BYTES;
    unsigned index, found = 0;

    for (uintptr_t at = base_of(run); at < end; at += AOMA_UNIT_BYTES) {
        bool begins = (at - base_of(run)) % bytes == 0 && at + bytes <= end;
        CHECK(run_finds(run, at, &index) == begins);
        CHECK(!begins || index == found++);
        CHECK(!run_finds(run, at + 8, &index));
    }
    CHECK(found == count_of(run));
    CHECK(!run_holds(run, base_of(run) - 1) && !run_holds(run, end));
    CHECK(!run_holds(run, 0) && !run_holds(run, UINTPTR_MAX));
    aoma_run_retire(run);
    CHECK(!run_holds(run, base_of(run))); /* the chunks are not its own any more */
}

TEST(a_run_finds_its_blocks_and_nothing_else)
{
    for_each_class_and_size(check_found);
}

TEST(make_answers_null_when_there_are_no_chunks)
{
    struct aoma_segment *segment = only_group();
    bool clean;

    while (aoma_segment_take(1, 1, &clean))
        ;
    for (unsigned class = 0; class < AOMA_CLASSES; class ++)
        assert_null(aoma_run_make(class, AOMA_RUN_MINIMAL));
    aoma_segment_give(segment, 5, 1);
    struct aoma_run *run = make(SMALLEST, AOMA_RUN_NORMAL);
    assert_ptr_equal(run, &segment->run[5]);
    assert_null(aoma_run_make(SMALLEST, AOMA_RUN_NORMAL));
}

/* ---- the way through the states ---- */

/* Each change of the state counts. */
static void check_newer(const struct aoma_run *run, uint64_t *last)
{
    uint64_t version = state_word(run) >> AOMA_STATE_VERSION_SHIFT;
    CHECK(version > *last);
    *last = version;
}

/* The chunks have gone back. (A partial bit may be left where a free and the last one overlap.) */
static void check_released(const struct aoma_run *run)
{
    CHECK(state_of(run) == AOMA_RUN_EMPTY);
    CHECK(free_blocks_of(run) == 0);
    CHECK(!run_holds(run, base_of(run)));
    for (unsigned i = 0; i < chunks_of(run); i++)
        CHECK(!is_taken(segment_of(run), chunk_of(run) + i));
}

static void check_gone(const struct aoma_run *run, unsigned class)
{
    check_released(run);
    CHECK(!has_partial_bit(run, class));
}

static void walk_through_states(unsigned class, enum aoma_run_size size)
{
    struct aoma_run *run = make(class, size);
    unsigned count = take_blocks(run, class, blocks, BLOCKS_MAX);
    uint64_t version = state_word(run) >> AOMA_STATE_VERSION_SHIFT;
    struct aoma_hint cursor = {0};

    CHECK(take_any(run, class) == NULL);
    CHECK(!run_has_free(run) && !aoma_run_is_idle(run));
    aoma_run_retire(run);
    check_run(run, AOMA_RUN_FULL, class, count);
    check_newer(run, &version);
    CHECK(take_partial(class, false, &cursor) == NULL);
    if (count > 1) {
        give(blocks[0]);
        check_run(run, AOMA_RUN_PARTIAL, class, count);
        check_newer(run, &version);
        CHECK(free_blocks_of(run) == 1);
        CHECK(take_partial(class, false, &cursor) == run);
        check_run(run, AOMA_RUN_ACTIVE, class, count);
        check_newer(run, &version);
        CHECK(take_any(run, class) == blocks[0]);
        aoma_run_retire(run);
        check_run(run, AOMA_RUN_FULL, class, count);
        check_newer(run, &version);
    }
    for (unsigned i = 0; i < count; i++) {
        check_run(run, i ? AOMA_RUN_PARTIAL : AOMA_RUN_FULL, class, count);
        CHECK(free_blocks_of(run) == i);
        give(blocks[i]);
    }
    check_gone(run, class);
    check_newer(run, &version);
}

TEST(every_class_walks_through_every_state)
{
    for_each_class_and_size(walk_through_states);
}

/* Whoever remembers the state of a run that is gone must not take it for that of the next. */
TEST(the_version_goes_on_from_run_to_run)
{
    struct aoma_segment *segment = only_group();
    uint64_t version = 0;
    bool clean;

    for (unsigned class = 0; class < AOMA_CLASSES; class ++) {
        struct aoma_run *run = make(class, AOMA_RUN_MINIMAL);
        CHECK(run == &segment->run[0]);
        check_newer(run, &version);
        aoma_run_retire(run);
        check_newer(run, &version);
        aoma_run_make_large(aoma_segment_take(1, 1, &clean), 1);
        check_newer(run, &version);
        give((void *)base_of(run));
        check_newer(run, &version);
    }
}

/* All free while ACTIVE: nothing happens before the run leaves its header. */
static void free_all_while_active(unsigned class, enum aoma_run_size size)
{
    struct aoma_run *run = make(class, size);
    unsigned count = take_blocks(run, class, blocks, BLOCKS_MAX);

    for (unsigned i = 0; i < count; i++)
        give(blocks[i]);
    check_run(run, AOMA_RUN_ACTIVE, class, count);
    CHECK(aoma_run_is_idle(run));
    aoma_run_retire(run);
    check_gone(run, class);
}

TEST(an_idle_run_goes_back_when_it_is_retired)
{
    for_each_class_and_size(free_all_while_active);
}

static void retire_with_some_free(unsigned class, enum aoma_run_size size)
{
    struct aoma_run *run = make(class, size);
    unsigned count = take_blocks(run, class, blocks, 1 + count_of(run) / 2);

    aoma_run_retire(run);
    check_run(run, count < count_of(run) ? AOMA_RUN_PARTIAL : AOMA_RUN_FULL, class, expected_count(class, size));
    for (unsigned i = 0; i < count; i++)
        give(blocks[i]);
    check_gone(run, class);
}

TEST(a_run_with_free_blocks_is_listed_when_it_is_retired)
{
    for_each_class_and_size(retire_with_some_free);
}

static void shuffle(void **array, unsigned count, struct rng *rng)
{
    for (unsigned i = count; i > 1; i--) {
        size_t other = rng_below(rng, i);
        void *kept = array[i - 1];
        array[i - 1] = array[other];
        array[other] = kept;
    }
}

/* With several words the last block may be in any. */
TEST(the_last_block_frees_the_run_whichever_it_is)
{
    struct rng rng = rng_stream(test_seed(), 1);

    only_group();
    for (unsigned class = 0; class < AOMA_CLASSES; class ++) {
        for (unsigned round = 0; round < 20; round++) {
            struct aoma_run *run = make(class, AOMA_RUN_ROOMY);
            unsigned count = take_blocks(run, class, blocks, BLOCKS_MAX);
            aoma_run_retire(run);
            shuffle(blocks, count, &rng);
            for (unsigned i = 0; i < count; i++) {
                CHECK(state_of(run) != AOMA_RUN_EMPTY);
                give(blocks[i]);
            }
            check_gone(run, class);
        }
    }
}

/* ---- random operations against a model ---- */

enum { MODEL_RUNS = 8, MODEL_STEPS = 20000 };

struct model {
    unsigned class;
    struct aoma_run *run[MODEL_RUNS]; /* ACTIVE: in our hands */
    void *held[MODEL_RUNS * 64 * BLOCKS_MAX / 64];
    unsigned held_count;
};

static void model_take(struct model *model, struct aoma_run **slot)
{
    struct aoma_hint cursor = {0};

    if (!*slot)
        *slot = take_partial(model->class, false, &cursor);
    if (!*slot)
        *slot = make(model->class, AOMA_RUN_NORMAL);
    void *block = take_any(*slot, model->class);
    if (!block) {
        aoma_run_retire(*slot);
        *slot = NULL;
    } else if (model->held_count < sizeof model->held / sizeof model->held[0]) {
        model->held[model->held_count++] = block;
    } else {
        give(block);
    }
}

static void model_step(struct model *model, struct rng *rng)
{
    struct aoma_run **slot = &model->run[rng_below(rng, MODEL_RUNS)];

    switch (rng_below(rng, 16)) {
    case 0:
        if (*slot)
            aoma_run_retire(*slot);
        *slot = NULL;
        break;
    case 1:
    case 2:
    case 3:
    case 4:
    case 5:
    case 6:
    case 7:
        if (model->held_count) {
            size_t at = rng_below(rng, model->held_count);
            give(model->held[at]);
            model->held[at] = model->held[--model->held_count];
        }
        break;
    default:
        model_take(model, slot);
    }
}

static void check_model(const struct model *model, size_t held)
{
    struct aoma_census census = checked_census(held);
    size_t active = 0;

    for (unsigned i = 0; i < MODEL_RUNS; i++)
        active += model->run[i] != NULL;
    CHECK(census.active == active);
    CHECK(census.blocks - census.blocks_free == model->held_count);
}

static void finish_model(struct model *model)
{
    for (unsigned i = 0; i < MODEL_RUNS; i++) {
        if (model->run[i])
            aoma_run_retire(model->run[i]);
        model->run[i] = NULL;
    }
    while (model->held_count)
        give(model->held[--model->held_count]);
}

TEST(counts_match_a_model_after_random_operations)
{
    static const unsigned classes[] = {0, 3, 7, 20, 31, 55, 79};
    static struct model model;
    struct rng rng = rng_stream(test_seed(), 2);

    add_group();
    size_t held = chunks_held();
    for (size_t c = 0; c < sizeof classes / sizeof classes[0]; c++) {
        model.class = classes[c];
        for (unsigned step = 0; step < MODEL_STEPS; step++) {
            /* The largest class would take a segment for eight blocks. */
            if (model.held_count > 100 && aoma_class_bytes(model.class) > 4096)
                finish_model(&model);
            model_step(&model, &rng);
            if (step % 512 == 0)
                check_model(&model, held);
        }
        check_model(&model, held);
        finish_model(&model);
        CHECK(checked_census(held).chunks_in_runs == 0);
    }
}

/* ---- stale knowledge ---- */

/* A bit that was set late, when the run was something else. */
static void check_bit_is_dropped(struct aoma_run *run, unsigned class)
{
    struct aoma_hint cursor = {0};
    uint64_t state = state_word(run);

    aoma_fetch_or_full(&segment_of(run)->partial[class], (uint64_t)1 << chunk_of(run));
    aoma_index_raise(segment_of(run), AOMA_KEY_PARTIAL(class), true);
    assert_null(take_partial(class, false, &cursor));
    assert_false(has_partial_bit(run, class));
    assert_int_equal(state_word(run), state);
    assert_null(take_partial(class, false, &cursor));
    assert_int_equal(aoma_index_next(AOMA_KEY_PARTIAL(class), 0, aoma_segment_numbers()), AOMA_INDEX_NONE);
}

TEST(a_stale_partial_bit_is_dropped)
{
    enum { CLASS = 10, OTHER = 12 };

    only_group();
    struct aoma_run *run = make(CLASS, AOMA_RUN_NORMAL);
    check_bit_is_dropped(run, CLASS); /* ACTIVE */
    check_bit_is_dropped(run, OTHER);
    unsigned count = take_blocks(run, CLASS, blocks, BLOCKS_MAX);
    aoma_run_retire(run);
    check_bit_is_dropped(run, CLASS); /* FULL */
    give(blocks[0]);
    check_bit_is_dropped(run, OTHER); /* PARTIAL */
    for (unsigned i = 1; i < count; i++)
        give(blocks[i]);
    check_bit_is_dropped(run, CLASS); /* EMPTY */
}

TEST(a_stale_bit_does_not_hide_a_run_behind_it)
{
    enum { CLASS = 10 };
    struct aoma_hint cursor = {0};

    only_group();
    struct aoma_run *stale = make(CLASS, AOMA_RUN_NORMAL), *run = make(CLASS, AOMA_RUN_NORMAL);
    assert_int_equal(take_blocks(run, CLASS, blocks, 1), 1);
    aoma_run_retire(run);
    aoma_fetch_or_full(&segment_of(stale)->partial[CLASS], (uint64_t)1 << chunk_of(stale));
    assert_ptr_equal(take_partial(CLASS, false, &cursor), run);
}

/* A run of class in the very place where one of stale_class has been. */
static struct aoma_run *recycle(unsigned stale_class, unsigned class, aoma_active *stale)
{
    struct aoma_run *before = make(stale_class, AOMA_RUN_MINIMAL);

    void *block = take_any(before, stale_class);
    *stale = aoma_active_at(before, 0);
    give(block);
    aoma_run_retire(before);
    struct aoma_run *run = make(class, AOMA_RUN_MINIMAL);
    CHECK(run == before);
    return run;
}

static void check_stale_take(struct aoma_run *run, aoma_active stale, unsigned stale_class)
{
    size_t free = free_blocks_of(run);
    enum aoma_run_state state = state_of(run);

    assert_null(take_from_word(stale, stale_class));
    assert_int_equal(free_blocks_of(run), free);
    assert_int_equal(state_of(run), state);
}

TEST(a_stale_header_takes_nothing_of_another_class)
{
    enum { STALE = 9, CLASS = 17 };
    aoma_active stale;

    only_group();
    struct aoma_run *run = recycle(STALE, CLASS, &stale);
    check_stale_take(run, stale, STALE); /* ACTIVE */
    unsigned count = take_blocks(run, CLASS, blocks, BLOCKS_MAX);
    check_stale_take(run, stale, STALE);
    aoma_run_retire(run);
    check_stale_take(run, stale, STALE); /* FULL */
    for (unsigned i = 0; i < count; i++) {
        give(blocks[i]); /* PARTIAL, in the end EMPTY */
        check_stale_take(run, stale, STALE);
    }
    check_gone(run, CLASS);
}

/* It is told which block of the other class it has, to be given back. */
TEST(a_stray_is_a_block_of_the_run_as_it_is_now)
{
    enum { STALE = 9, CLASS = 17 };
    aoma_active stale;
    void *block = NULL;

    only_group();
    struct aoma_run *run = recycle(STALE, CLASS, &stale);
    unsigned count = count_of(run), index = BLOCKS_MAX;
    for (unsigned i = 0; i < count; i++) {
        assert_false(aoma_run_take(stale, STALE, &block));
        assert_non_null(block);
        assert_true(run_finds(run, (uintptr_t)block, &index));
        assert_int_equal(index, i);
        assert_true(aoma_run_in_use(run, i));
    }
    void *last = block;
    assert_false(aoma_run_take(stale, STALE, &block));
    assert_ptr_equal(block, last); /* nothing was taken */
}

TEST(a_stale_header_takes_nothing_of_a_large_object)
{
    enum { STALE = 9 };
    aoma_active stale;
    bool clean;

    only_group();
    aoma_run_retire(recycle(STALE, STALE, &stale));
    void *large = aoma_large_alloc(100 * KIB, 1, 0, &clean);
    assert_ptr_equal(run_of(large), aoma_active_run(stale));
    check_stale_take(run_of(large), stale, STALE);
    assert_true(aoma_run_in_use(run_of(large), 0));
    give(large);
    check_stale_take(aoma_active_run(stale), stale, STALE);
}

/* Same class again: the block is as good as any. */
TEST(a_stale_header_takes_from_a_new_run_of_its_class)
{
    enum { CLASS = 9 };
    aoma_active stale;

    only_group();
    struct aoma_run *run = recycle(CLASS, CLASS, &stale);
    void *block = take_from_word(stale, CLASS);
    assert_non_null(block);
    aoma_run_retire(run);
    check_run(run, AOMA_RUN_PARTIAL, CLASS, expected_count(CLASS, AOMA_RUN_MINIMAL));
    give(block);
    check_gone(run, CLASS);
}

/* ---- the search for partial runs ---- */

enum { LISTED_CLASS = 31, LISTED = 20 }; /* 1024 bytes: 8 blocks in a chunk, 64 in a roomy run */

/* Runs of which each has so many free blocks. */
static void list_runs(struct aoma_run **runs, unsigned count, enum aoma_run_size size, unsigned free)
{
    for (unsigned i = 0; i < count; i++) {
        runs[i] = make(LISTED_CLASS, size);
        CHECK(take_blocks(runs[i], LISTED_CLASS, blocks, count_of(runs[i]) - free) + free == count_of(runs[i]));
    }
    for (unsigned i = 0; i < count; i++)
        aoma_run_retire(runs[i]);
}

TEST(search_goes_round_in_a_circle)
{
    struct aoma_run *runs[LISTED];
    struct aoma_hint cursor = {0};

    only_group();
    list_runs(runs, LISTED, AOMA_RUN_NORMAL, 3);
    for (unsigned i = 0; i < 3 * LISTED; i++) {
        assert_ptr_equal(take_partial(LISTED_CLASS, false, &cursor), runs[i % LISTED]);
        aoma_run_retire(runs[i % LISTED]);
    }
}

TEST(search_wraps_to_lower_chunks_and_segments)
{
    struct aoma_segment *segment = only_group();
    struct aoma_run *runs[LISTED];

    list_runs(runs, LISTED, AOMA_RUN_NORMAL, 3);
    for (uint32_t number = 0; number < aoma_segment_numbers() + 2; number++) {
        for (unsigned chunk = 0; chunk < AOMA_SEGMENT_CHUNKS; chunk++) {
            struct aoma_hint cursor;
            aoma_hint_set(&cursor, (size_t)number * AOMA_SEGMENT_CHUNKS + chunk);
            struct aoma_run *run = take_partial(LISTED_CLASS, false, &cursor);
            unsigned expected = number == segment->number && chunk < LISTED ? chunk : 0;
            CHECK(run == runs[expected]);
            aoma_run_retire(run);
        }
    }
}

/* 3/16 of 64 */
enum { MANY = 12 };

TEST(search_passes_by_runs_with_too_few_blocks)
{
    enum { FEW = 5 };
    struct aoma_run *runs[FEW], *good[1];
    struct aoma_hint cursor = {0};

    only_group();
    list_runs(runs, FEW, AOMA_RUN_ROOMY, MANY - 1);
    assert_null(take_partial(LISTED_CLASS, true, &cursor));
    list_runs(good, 1, AOMA_RUN_ROOMY, MANY);
    assert_ptr_equal(take_partial(LISTED_CLASS, true, &cursor), good[0]);
    for (unsigned i = 0; i < FEW; i++)
        check_run(runs[i], AOMA_RUN_PARTIAL, LISTED_CLASS, count_of(runs[i]));
    check_index();
}

/* All are looked at, however many there are. */
TEST(search_for_any_block_finds_the_only_one)
{
    enum { RUNS = 3 * AOMA_SEGMENT_CHUNKS };
    static struct aoma_run *runs[RUNS];
    struct aoma_hint cursor = {0};

    only_group();
    list_runs(runs, RUNS, AOMA_RUN_NORMAL, 1);
    for (unsigned i = 0; i < RUNS; i++)
        assert_non_null(take_partial(LISTED_CLASS, false, &cursor));
    assert_null(take_partial(LISTED_CLASS, false, &cursor));
    for (unsigned i = 0; i < RUNS; i++)
        check_run(runs[i], AOMA_RUN_ACTIVE, LISTED_CLASS, count_of(runs[i]));
}

TEST(search_gives_up_among_many_runs_with_few_blocks)
{
    struct aoma_run *runs[LISTED], *good[1];
    struct aoma_hint cursor = {0};

    only_group();
    list_runs(runs, LISTED, AOMA_RUN_ROOMY, MANY - 1);
    list_runs(good, 1, AOMA_RUN_ROOMY, MANY);
    assert_null(take_partial(LISTED_CLASS, true, &cursor));
    check_run(good[0], AOMA_RUN_PARTIAL, LISTED_CLASS, count_of(good[0]));
    checked_census(chunks_held());
}

/* Else the runs behind those that it passed by would never be found, and new ones be made in their place. */
TEST(a_search_that_gave_up_goes_on_from_there)
{
    struct aoma_run *runs[LISTED], *good[1], *found = NULL;
    struct aoma_hint cursor = {0};

    only_group();
    list_runs(runs, LISTED, AOMA_RUN_ROOMY, MANY - 1);
    list_runs(good, 1, AOMA_RUN_ROOMY, MANY);
    for (unsigned i = 0; i < LISTED && !found; i++)
        found = take_partial(LISTED_CLASS, true, &cursor);
    assert_ptr_equal(found, good[0]);
}

/* ---- batches ---- */

static unsigned in_use_of(const struct aoma_run *run)
{
    return count_of(run) - (unsigned)free_blocks_of(run);
}

/* Of one word, the lowest free blocks, and no more than asked for; the lowest comes last, to be popped first. */
TEST(a_batch_takes_the_lowest_blocks_of_a_word)
{
    only_group();
    for (unsigned max = 1; max <= 64; max++) {
        struct aoma_run *run = make(SMALLEST, AOMA_RUN_NORMAL);
        unsigned index = BLOCKS_MAX, taken = 0, count;
        while ((count = aoma_run_take_batch(aoma_active_at(run, 1), SMALLEST, blocks + taken, max)) > 0) {
            CHECK(count == (64 - taken < max ? 64 - taken : max));
            for (unsigned i = 0; i < count; i++) {
                CHECK(run_finds(run, (uintptr_t)blocks[taken + count - 1 - i], &index) && index == 64 + taken + i);
                CHECK(aoma_run_in_use(run, index));
            }
            taken += count;
            CHECK(in_use_of(run) == taken);
        }
        CHECK(taken == 64);
        aoma_run_retire(run);
        aoma_run_give_batch(blocks, taken);
        check_gone(run, SMALLEST);
    }
}

TEST(a_batch_of_the_next_class_goes_back)
{
    enum { STALE = 10, CLASS = 19 };
    aoma_active stale;

    only_group();
    struct aoma_run *run = recycle(STALE, CLASS, &stale);
    blocks[0] = NULL;
    assert_int_equal(aoma_run_take_batch(stale, STALE, blocks, 5), 0);
    assert_null(blocks[0]);
    check_run(run, AOMA_RUN_ACTIVE, CLASS, expected_count(CLASS, AOMA_RUN_MINIMAL));
    assert_true(aoma_run_is_idle(run));
    aoma_run_retire(run);
    check_gone(run, CLASS);
}

/* Of several runs, classes and words, in any order; the last of a run frees it, the first of a full one lists it. */
TEST(a_batch_is_given_back_to_the_runs_of_its_blocks)
{
    static const unsigned classes[] = {SMALLEST, 3, 20, 31};
    enum { RUNS = sizeof classes / sizeof classes[0] };
    static void *all[RUNS * BLOCKS_MAX];
    struct aoma_run *runs[RUNS];
    struct rng rng = rng_stream(test_seed(), 3);
    void *last[RUNS];
    unsigned count = RUNS;

    only_group();
    for (unsigned i = 0; i < RUNS; i++) {
        runs[i] = make(classes[i], AOMA_RUN_NORMAL);
        count += take_blocks(runs[i], classes[i], all + count, BLOCKS_MAX) - 2;
        all[i] = all[count];      /* of each run one in the first half, */
        last[i] = all[count + 1]; /* and in the second */
        aoma_run_retire(runs[i]);
    }
    shuffle(all + RUNS, count - RUNS, &rng);
    memcpy(all + count, last, sizeof last);
    count += RUNS;
    unsigned given = count / 2;
    aoma_run_give_batch(all, given);
    unsigned in_use = 0;
    for (unsigned i = 0; i < RUNS; i++) {
        check_run(runs[i], AOMA_RUN_PARTIAL, classes[i], expected_count(classes[i], AOMA_RUN_NORMAL));
        in_use += in_use_of(runs[i]);
    }
    assert_int_equal(in_use, count - given);
    aoma_run_give_batch(all + given, count - given);
    for (unsigned i = 0; i < RUNS; i++)
        check_gone(runs[i], classes[i]);
}

/* ---- large objects ---- */

TEST(a_large_object_is_one_block)
{
    bool clean;

    only_group();
    for (unsigned chunks = 1; chunks <= AOMA_SEGMENT_CHUNKS; chunks++) {
        struct aoma_run *run = aoma_segment_take(chunks, 1, &clean);
        aoma_run_make_large(run, chunks);
        check_run(run, AOMA_RUN_FULL, AOMA_CLASS_LARGE, 1);
        CHECK(aoma_run_is_large(run) && aoma_run_in_use(run, 0));
        CHECK(AO_malloc_usable_size((void *)base_of(run)) == chunks * AOMA_CHUNK_BYTES);
        unsigned index;
        CHECK(!run_finds(run, base_of(run) + AOMA_UNIT_BYTES, &index));
        give((void *)base_of(run));
        check_gone(run, 0);
    }
}

/* A chunk that was the inside of a run can be the head of another. */
TEST(nothing_is_left_of_a_run_that_was_there_before)
{
    enum { CLASS = 79, CHUNKS = 8 }; /* 64 KiB */
    struct aoma_segment *segment = only_group();

    struct aoma_run *before = make(CLASS, AOMA_RUN_NORMAL);
    assert_ptr_equal(before, &segment->run[0]);
    assert_int_equal(chunks_of(before), CHUNKS);
    aoma_run_retire(before);
    for (unsigned i = 0; i < CHUNKS; i++) {
        struct aoma_run *run = make(SMALLEST, AOMA_RUN_NORMAL);
        void *block = take_any(run, SMALLEST);
        CHECK(chunk_of(run) == i && base_of(run) == (uintptr_t)block);
        CHECK(AO_malloc_usable_size(block) == 16);
        CHECK(run_of(block) == run);
    }
}

/* ---- in the middle of each other ---- */

enum { RACE_CLASS = 31 }; /* 8 blocks in a chunk */

static struct aoma_run *race_run;
static unsigned race_count;
static size_t race_held;
static struct aoma_hint race_cursor;
static void *taken_block, *other_block;
static struct aoma_run *taken_run, *other_run;

/* An ACTIVE run of which all blocks but so many are taken. */
static void prepare(unsigned free)
{
    only_group();
    race_held = chunks_held();
    race_run = make(RACE_CLASS, AOMA_RUN_NORMAL);
    race_count = take_blocks(race_run, RACE_CLASS, blocks, count_of(race_run) - free);
}

static void give_first(void)
{
    give(blocks[0]);
}

static void give_second(void)
{
    give(blocks[1]);
}

static void give_all(void)
{
    for (unsigned i = 0; i < race_count; i++)
        give(blocks[i]);
}

static void give_all_but_first(void)
{
    for (unsigned i = 1; i < race_count; i++)
        give(blocks[i]);
}

static void retire(void)
{
    aoma_run_retire(race_run);
}

static void take_stale(void)
{
    taken_block = take_from_word(aoma_active_at(race_run, 0), RACE_CLASS);
}

static void take_other(void)
{
    other_block = take_from_word(aoma_active_at(race_run, 0), RACE_CLASS);
}

static void take_listed(void)
{
    taken_run = take_partial(RACE_CLASS, false, &race_cursor);
}

static void take_listed_too(void)
{
    struct aoma_hint cursor = {0};
    other_run = take_partial(RACE_CLASS, false, &cursor);
}

static void check_run_gone(void)
{
    struct aoma_hint cursor = {0};

    check_released(race_run);
    CHECK(checked_census(race_held).chunks_in_runs == 0);
    unsigned class = aoma_state_class(state_word(race_run));
    CHECK(take_partial(class, false, &cursor) == NULL);
    CHECK(!has_partial_bit(race_run, class));
}

static void check_listed(void)
{
    check_run(race_run, AOMA_RUN_PARTIAL, RACE_CLASS, race_count);
    checked_census(race_held);
    take_listed();
    CHECK(taken_run == race_run);
}

TEST(a_free_during_a_retirement_is_seen)
{
    prepare(0);
    interleave(retire, give_first, check_listed);
}

TEST(a_retirement_during_a_free_is_seen)
{
    prepare(0);
    interleave(give_first, retire, check_listed);
}

TEST(the_last_frees_during_a_retirement_are_seen)
{
    prepare(0);
    interleave(retire, give_all, check_run_gone);
}

TEST(a_retirement_during_the_last_free_is_seen)
{
    prepare(0);
    give_all_but_first();
    interleave(give_first, retire, check_run_gone);
}

TEST(two_last_frees_at_once_free_the_run)
{
    prepare(0);
    for (unsigned i = 2; i < race_count; i++)
        give(blocks[i]);
    retire();
    interleave(give_first, give_second, check_run_gone);
}

TEST(first_and_last_frees_at_once_free_the_run)
{
    prepare(0);
    retire();
    interleave(give_first, give_all_but_first, check_run_gone);
}

/* The run is all free only in both words together. */
TEST(two_last_frees_in_different_words_free_the_run)
{
    only_group();
    race_held = chunks_held();
    race_run = make(SMALLEST, AOMA_RUN_NORMAL);
    race_count = take_blocks(race_run, SMALLEST, blocks, BLOCKS_MAX);
    void *kept = blocks[race_count / 2];
    blocks[race_count / 2] = blocks[1];
    blocks[1] = kept;
    for (unsigned i = 2; i < race_count; i++)
        give(blocks[i]);
    retire();
    interleave(give_first, give_second, check_run_gone);
}

/* Who took a block from a run keeps it from going; who did not gets nothing. */
static void check_taken_or_gone(void)
{
    if (taken_block) {
        CHECK(state_of(race_run) != AOMA_RUN_EMPTY);
        CHECK(run_of(taken_block) == race_run && free_blocks_of(race_run) == count_of(race_run) - 1);
        checked_census(race_held);
        give(taken_block);
    }
    check_run_gone();
}

TEST(a_late_take_and_the_last_free_agree)
{
    prepare(0);
    retire();
    give_all_but_first();
    interleave(take_stale, give_first, check_taken_or_gone);
}

TEST(the_last_free_and_a_late_take_agree)
{
    prepare(0);
    retire();
    give_all_but_first();
    interleave(give_first, take_stale, check_taken_or_gone);
}

static void take_and_give_stale(void)
{
    take_stale();
    if (taken_block)
        give(taken_block);
}

TEST(a_block_that_is_borrowed_during_the_last_free_comes_back)
{
    prepare(0);
    retire();
    give_all_but_first();
    interleave(give_first, take_and_give_stale, check_run_gone);
}

static void take_stale_from_last_word(void)
{
    unsigned last = (count_of(race_run) - 1) / 64;

    taken_block = take_from_word(aoma_active_at(race_run, last), SMALLEST);
}

/* The collector finds the block missing when it has those of the other words. */
TEST(a_late_take_from_the_last_word_and_the_last_free_agree)
{
    only_group();
    race_held = chunks_held();
    race_run = make(SMALLEST, AOMA_RUN_NORMAL);
    race_count = take_blocks(race_run, SMALLEST, blocks, BLOCKS_MAX);
    retire();
    give_all_but_first();
    interleave(give_first, take_stale_from_last_word, check_taken_or_gone);
}

static void check_listed_or_gone(void)
{
    if (taken_run) {
        CHECK(taken_run == race_run);
        check_run(race_run, AOMA_RUN_ACTIVE, RACE_CLASS, race_count);
        CHECK(aoma_run_is_idle(race_run));
        aoma_run_retire(taken_run);
    }
    check_run_gone();
}

TEST(a_search_and_the_last_free_agree)
{
    prepare(0);
    retire();
    give_all_but_first();
    interleave(take_listed, give_first, check_listed_or_gone);
}

TEST(the_last_free_and_a_search_agree)
{
    prepare(0);
    retire();
    give_all_but_first();
    interleave(give_first, take_listed, check_listed_or_gone);
}

/* The first block of a full run lists it, unless another thread frees one at once, or finds it. */
static void check_first_is_listed(void)
{
    if (taken_run) {
        CHECK(taken_run == race_run);
        aoma_run_retire(taken_run);
    }
    check_listed();
}

TEST(a_run_is_found_once_its_first_free_is_through)
{
    prepare(0);
    retire();
    interleave(give_first, take_listed, check_first_is_listed);
}

TEST(two_first_frees_at_once_list_the_run)
{
    prepare(0);
    retire();
    interleave(give_first, give_second, check_listed);
}

static struct aoma_run *full_run;
static void *block_of_full_run;

static void give_to_full_run(void)
{
    give(block_of_full_run);
}

static void check_both_are_found(void)
{
    if (!taken_run)
        take_listed();
    take_listed_too();
    CHECK((taken_run == race_run && other_run == full_run) || (taken_run == full_run && other_run == race_run));
}

/* One run is listed, another has no free block. */
static void prepare_listed_and_full(void)
{
    prepare(3);
    retire();
    full_run = make(RACE_CLASS, AOMA_RUN_NORMAL);
    take_blocks(full_run, RACE_CLASS, blocks, BLOCKS_MAX);
    block_of_full_run = blocks[0];
    aoma_run_retire(full_run);
}

TEST(a_search_does_not_undo_the_listing_of_another_run)
{
    prepare_listed_and_full();
    interleave(take_listed, give_to_full_run, check_both_are_found);
}

/* Another thread has set its bit, the first one, and not yet raised the index: what comes after relies on that. */
static void give_to_full_run_behind_another(void)
{
    enum { NO_RUN = AOMA_SEGMENT_CHUNKS - 1 };

    aoma_fetch_or_full(&segment_of(full_run)->partial[RACE_CLASS], (uint64_t)1 << NO_RUN);
    give_to_full_run();
}

static void check_full_run_is_found(void)
{
    if (!taken_run)
        take_listed_too();
    CHECK(taken_run == full_run || other_run == full_run);
}

TEST(a_search_misses_no_listing_behind_one_that_is_on_its_way)
{
    prepare_listed_and_full();
    take_listed(); /* the index still names the segment */
    CHECK(taken_run == race_run);
    interleave(take_listed, give_to_full_run_behind_another, check_full_run_is_found);
}

static void check_one_found(void)
{
    CHECK((taken_run == race_run) != (other_run == race_run));
    CHECK(!taken_run || !other_run);
    check_run(race_run, AOMA_RUN_ACTIVE, RACE_CLASS, count_of(race_run));
    checked_census(race_held);
}

TEST(a_listed_run_is_given_to_one_of_two)
{
    prepare(3);
    retire();
    interleave(take_listed, take_listed_too, check_one_found);
}

static void check_different_blocks(void)
{
    CHECK(taken_block && other_block && taken_block != other_block);
    CHECK(free_blocks_of(race_run) == count_of(race_run) - 2);
}

TEST(two_who_take_get_different_blocks)
{
    prepare(8);
    interleave(take_stale, take_other, check_different_blocks);
}

/* A run of another class is made where a late thread still looks for one of RACE_CLASS. */
enum { NEXT_CLASS = 19 };

static void make_next(void)
{
    taken_run = aoma_run_make(NEXT_CLASS, AOMA_RUN_MINIMAL);
}

static void check_next_is_whole(void)
{
    CHECK(taken_run == race_run && taken_block == NULL);
    check_run(race_run, AOMA_RUN_ACTIVE, NEXT_CLASS, expected_count(NEXT_CLASS, AOMA_RUN_MINIMAL));
    CHECK(aoma_run_is_idle(race_run));
    aoma_run_retire(race_run);
    check_gone(race_run, NEXT_CLASS);
}

TEST(a_late_take_leaves_the_run_that_is_being_made_whole)
{
    prepare(8);
    retire();
    interleave(make_next, take_stale, check_next_is_whole);
}

static void check_next_holds_its_blocks(void)
{
    CHECK(taken_run && run_holds(taken_run, base_of(taken_run)) && aoma_run_is_idle(taken_run));
    aoma_run_retire(taken_run);
    check_gone(taken_run, NEXT_CLASS);
    check_run_gone();
}

/* In the same chunk, as soon as that is free. */
TEST(a_run_made_during_the_last_free_holds_its_blocks)
{
    prepare(0);
    retire();
    give_all_but_first();
    interleave(give_first, make_next, check_next_holds_its_blocks);
}

/* The last block of the run is free only when the late thread has given back what it had. */
TEST(a_late_take_from_the_next_run_and_its_last_free_agree)
{
    prepare(8);
    retire();
    make_next();
    race_count = take_blocks(race_run, NEXT_CLASS, blocks, BLOCKS_MAX);
    retire();
    give_all_but_first();
    interleave(take_stale, give_first, check_run_gone);
}

TEST(a_late_take_gives_back_what_the_next_run_lost_to_it)
{
    prepare(8);
    retire();
    interleave(take_stale, make_next, check_next_is_whole);
}

/* ---- hints ---- */

/* Whether the hint is of the chunk, and says what was said of it. */
static bool tells(uintptr_t hint, const struct aoma_run *run, uintptr_t chunk, unsigned class)
{
    return aoma_hint_is_exact(hint, (void *)(chunk + 112)) && aoma_hinted_run(hint) == run &&
           aoma_hinted_class(hint) == class;
}

/* Where pointers are believed. Of all chunks that share a place in the table a hint is of one. */
TEST(an_exact_hint_is_of_its_chunk_alone)
{
    if (!AOMA_RUN_HINTS_EXACT)
        test_skip("hints are exact with checks=none on 64-bit hosts only");
    only_group();
    uintptr_t apart = (uintptr_t)AOMA_RUN_HINTS << AOMA_CHUNK_SHIFT;
    uintptr_t end = (uintptr_t)1 << (UINTPTR_MAX > UINT32_MAX ? AOMA_ADDRESS_BITS : 31);
    struct aoma_run *run = make(5, AOMA_RUN_NORMAL);
    uintptr_t chunks[] = {base_of(run), apart, end / 2, end - 2 * apart};

    for (unsigned i = 0; i < sizeof(chunks) / sizeof(chunks[0]); i++) {
        uintptr_t hint = aoma_hint_of(run, chunks[i], 5 * i);
        CHECK(tells(hint, run, chunks[i], 5 * i));
        for (uintptr_t other = chunks[i] % apart; other < end; other += apart) {
            if (other != chunks[i])
                CHECK(!aoma_hint_is_exact(hint, (void *)other));
        }
    }
    CHECK(!aoma_hint_is_exact(0, NULL));
    CHECK(!aoma_hint_is_exact(aoma_hint_of(run, end - apart, 5), (void *)(end - apart))); /* goes by the page map */
    CHECK(!aoma_hint_is_exact(aoma_hint_of(run, end - apart, 5), NULL));
    CHECK(!aoma_hint_is_exact(0, (void *)(end - apart)));
    CHECK(tells(aoma_ptr_load_acquire(aoma_run_hint(base_of(run))), run, base_of(run), 5));
    aoma_run_retire(run);
}

/* ---- the word remembered for free ---- */

/* Whatever is remembered, the bit that is set is the block's. */
TEST(a_block_is_given_to_its_word_whichever_is_remembered)
{
    only_group();
    struct aoma_run *other = make(SMALLEST, AOMA_RUN_NORMAL), *run = make(SMALLEST, AOMA_RUN_NORMAL);
    unsigned count = take_blocks(run, SMALLEST, blocks, BLOCKS_MAX);

    for (unsigned i = 0; i < count; i++) {
        aoma_recent_set(aoma_active_at(i % 3 ? run : other, i % AOMA_RUN_WORDS));
        unsigned index = BLOCKS_MAX;
        CHECK(run_finds(run, (uintptr_t)blocks[i], &index));
        aoma_run_give(run, index, true, blocks[i], GIVER);
        CHECK(!aoma_run_in_use(run, index) && free_blocks_of(run) == i + 1);
    }
    assert_true(aoma_run_is_idle(other) && aoma_run_is_idle(run));
    checked_census(chunks_held());
}

/* ---- misuse ---- */

static void give_twice(void *block)
{
    struct aoma_run *run = run_of(block);
    unsigned index = 0;

    CHECK(run_finds(run, (uintptr_t)block, &index));
    give_to(run, index, block);
    give_to(run, index, block);
}

static void assert_giving_twice_aborts(void *block)
{
    char line[100];

    snprintf(line, sizeof line, "aomalloc: " GIVER "(0x%" PRIxPTR "): not in use: freed already or never handed out",
             (uintptr_t)block);
    assert_aborts(give_twice, block, line);
}

TEST(giving_twice_aborts)
{
    only_group();
    for (unsigned class = 0; class < AOMA_CLASSES; class += 13) {
        struct aoma_run *run = make(class, AOMA_RUN_ROOMY);
        unsigned count = take_blocks(run, class, blocks, BLOCKS_MAX);
        assert_giving_twice_aborts(blocks[0]); /* ACTIVE */
        assert_giving_twice_aborts(blocks[count - 1]);
        aoma_run_retire(run);
        if (count < 3)
            continue;
        assert_giving_twice_aborts(blocks[count / 2]); /* FULL, then PARTIAL */
        give(blocks[0]);
        assert_giving_twice_aborts(blocks[1]); /* PARTIAL */
    }
}

static void give_a_batch(void *block)
{
    void *batch[] = {block, blocks[0], block};
    void *neighbours[] = {blocks[0], block, block};

    aoma_run_give_batch(block == blocks[1] ? neighbours : batch, 3);
}

TEST(a_block_that_comes_twice_in_a_batch_aborts)
{
    char line[100];

    only_group();
    struct aoma_run *run = make(SMALLEST, AOMA_RUN_ROOMY);
    CHECK(take_blocks(run, SMALLEST, blocks, BLOCKS_MAX) > 64);
    for (unsigned i = 1; i < 65; i += 63) {
        snprintf(line, sizeof line, "aomalloc: AO_free(0x%" PRIxPTR "): not in use: freed already or never handed out",
                 (uintptr_t)blocks[i]);
        assert_aborts(give_a_batch, blocks[i], line);
    }
    aoma_run_retire(run);
}
