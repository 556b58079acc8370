/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * The index's promise: where the ground (here: a segment's word of partial runs) has something and its raiser has
 * finished, a search finds the segment. Segments are made by hand where their number is to be chosen.
 */

#include "unit.h"
#include "faulty_os.h"
#include "interleave.h"
#include "rng.h"

enum { CLASS = 5, KEY = AOMA_KEY_PARTIAL(CLASS), OTHER_KEY = AOMA_KEY_PARTIAL(CLASS + 1) };

#define DIRECTORY_SEGMENTS (AOMA_DIRECTORY_BANKS * AOMA_BANK_SEGMENTS)
/* Metadata comes in whole chunks. */
#define BANK_BYTES ((sizeof(struct aoma_bank) + AOMA_CHUNK_MASK) & ~AOMA_CHUNK_MASK)

/* What the index needs of a segment: where its words are, and its number. */
static struct aoma_segment *make_segment(uint32_t number)
{
    aoma_source_enable_mmap();
    struct aoma_bank *bank = aoma_index_require_bank(number / AOMA_BANK_SEGMENTS, NULL);
    CHECK(bank);
    struct aoma_segment *segment = &bank->segment[number % AOMA_BANK_SEGMENTS];
    segment->bank = bank;
    segment->number = number;
    return segment;
}

static uint32_t find(void)
{
    return aoma_index_next(KEY, 0, AOMA_MAX_SEGMENTS);
}

/* ---- the ground ---- */

static void put_something(struct aoma_segment *segment)
{
    uint64_t before = aoma_fetch_or_full(&segment->partial[CLASS], 1);
    aoma_index_raise(segment, KEY, before == 0);
}

static void take_all(struct aoma_segment *segment)
{
    aoma_fetch_clear_full(&segment->partial[CLASS], 1);
}

static void look_and_lower(struct aoma_segment *segment)
{
    uint64_t snapshot = aoma_index_snapshot(segment, KEY);
    if (aoma_load_acquire(&segment->partial[CLASS]) == 0)
        aoma_index_lower(segment, KEY, snapshot);
}

/* ---- searching ---- */

/* At every border between banks and directories. */
static const uint32_t numbers[] = {
    0,
    1,
    AOMA_BANK_SEGMENTS - 1,
    AOMA_BANK_SEGMENTS,
    2 * AOMA_BANK_SEGMENTS - 1,
    7 * AOMA_BANK_SEGMENTS + 3,
    DIRECTORY_SEGMENTS - 1,
    DIRECTORY_SEGMENTS,
    DIRECTORY_SEGMENTS + AOMA_BANK_SEGMENTS,
    3 * DIRECTORY_SEGMENTS + 77,
    AOMA_MAX_SEGMENTS - 1,
};
enum { NUMBERS = sizeof numbers / sizeof numbers[0] };

TEST(an_empty_index_names_nothing)
{
    for (unsigned key = 0; key < AOMA_KEYS; key++)
        assert_int_equal(aoma_index_next(key, 0, AOMA_MAX_SEGMENTS), AOMA_INDEX_NONE);
}

TEST(a_segment_is_found_alone_in_exactly_the_ranges_that_hold_it)
{
    for (unsigned i = 0; i < NUMBERS; i++) {
        struct aoma_segment *segment = make_segment(numbers[i]);
        put_something(segment);
        assert_int_equal(find(), numbers[i]);
        assert_int_equal(aoma_index_next(KEY, numbers[i], numbers[i] + 1), numbers[i]);
        assert_int_equal(aoma_index_next(KEY, 0, numbers[i]), AOMA_INDEX_NONE);
        assert_int_equal(aoma_index_next(KEY, numbers[i] + 1, AOMA_MAX_SEGMENTS), AOMA_INDEX_NONE);
        assert_int_equal(aoma_index_next(KEY, numbers[i], numbers[i]), AOMA_INDEX_NONE);
        assert_int_equal(aoma_index_next(OTHER_KEY, 0, AOMA_MAX_SEGMENTS), AOMA_INDEX_NONE);
        take_all(segment);
        look_and_lower(segment);
        assert_int_equal(find(), AOMA_INDEX_NONE);
    }
}

TEST(a_search_goes_through_all_in_order)
{
    for (unsigned i = NUMBERS; i-- > 0;)
        put_something(make_segment(numbers[i]));
    uint32_t at = 0;
    for (unsigned i = 0; i < NUMBERS; i++) {
        at = aoma_index_next(KEY, at, AOMA_MAX_SEGMENTS);
        assert_int_equal(at++, numbers[i]);
    }
    assert_int_equal(aoma_index_next(KEY, at, AOMA_MAX_SEGMENTS), AOMA_INDEX_NONE);
}

enum { MODEL_SEGMENTS = 3 * AOMA_BANK_SEGMENTS, MODEL_STEPS = 5000 };

static uint32_t expected_next(const bool *has, uint32_t from)
{
    while (from < MODEL_SEGMENTS && !has[from])
        from++;
    return from < MODEL_SEGMENTS ? from : AOMA_INDEX_NONE;
}

TEST(random_raises_and_lowers_match_a_model)
{
    bool has[MODEL_SEGMENTS] = {false};
    struct rng rng = rng_stream(test_seed(), 1);

    for (unsigned step = 0; step < MODEL_STEPS; step++) {
        uint32_t number = (uint32_t)rng_below(&rng, MODEL_SEGMENTS);
        uint32_t from = (uint32_t)rng_below(&rng, MODEL_SEGMENTS);
        struct aoma_segment *segment = make_segment(number);
        has[number] = rng_below(&rng, 20) == 0; /* few, so that banks run empty */
        if (has[number])
            put_something(segment);
        else
            take_all(segment);
        look_and_lower(segment);
        CHECK(aoma_index_next(KEY, from, MODEL_SEGMENTS) == expected_next(has, from));
    }
}

/* ---- raising and lowering ---- */

TEST(lower_does_nothing_after_a_raise)
{
    struct aoma_segment *segment = make_segment(40);

    put_something(segment);
    take_all(segment);
    uint64_t snapshot = aoma_index_snapshot(segment, KEY);
    put_something(segment); /* the bit was set already: only the version tells */
    aoma_index_lower(segment, KEY, snapshot);
    assert_int_equal(find(), 40);
}

TEST(lower_does_nothing_after_a_raise_of_another_segment_of_the_bank)
{
    struct aoma_segment *segment = make_segment(40), *other = make_segment(41);

    put_something(segment);
    take_all(segment);
    uint64_t snapshot = aoma_index_snapshot(segment, KEY);
    put_something(other);
    aoma_index_lower(segment, KEY, snapshot);
    assert_int_equal(find(), 40); /* a hint more than needed, but nothing is lost */
    look_and_lower(segment);
    assert_int_equal(find(), 41);
}

TEST(a_raise_that_appeared_counts_and_another_does_not)
{
    struct aoma_segment *segment = make_segment(40);

    aoma_index_raise(segment, KEY, false);
    assert_int_equal(find(), 40); /* a clear bit is set in any case */
    uint64_t before = aoma_index_snapshot(segment, KEY);
    aoma_index_raise(segment, KEY, false);
    aoma_index_raise_if(segment, KEY, false);
    assert_true(aoma_index_snapshot(segment, KEY) == before);
    aoma_index_raise(segment, KEY, true);
    uint64_t after = aoma_index_snapshot(segment, KEY);
    assert_true(after != before);
    aoma_index_raise_if(segment, KEY, true);
    assert_true(aoma_index_snapshot(segment, KEY) != after);
}

TEST(a_bank_keeps_its_bit_while_one_of_its_segments_has_one)
{
    put_something(make_segment(40));
    put_something(make_segment(50));
    take_all(make_segment(40));
    look_and_lower(make_segment(40));
    assert_int_equal(find(), 50);
    take_all(make_segment(50));
    look_and_lower(make_segment(50));
    assert_int_equal(find(), AOMA_INDEX_NONE);
    put_something(make_segment(45));
    assert_int_equal(find(), 45);
}

/* ---- in the middle of each other ---- */

static struct aoma_segment *one, *other;

static void lower_one(void)
{
    look_and_lower(one);
}

static void raise_one(void)
{
    put_something(one);
}

static void raise_other(void)
{
    put_something(other);
}

static void search(void)
{
    (void)aoma_index_next(KEY, 0, 2 * AOMA_BANK_SEGMENTS);
}

static void empty_and_lower_other(void)
{
    take_all(other);
    look_and_lower(other);
}

static bool is_found(const struct aoma_segment *segment)
{
    return aoma_index_next(KEY, segment->number, segment->number + 1) == segment->number;
}

static void check_one_is_found(void)
{
    CHECK(is_found(one));
}

static void check_other_is_found(void)
{
    CHECK(is_found(other));
}

/* One's bit is set, but it has nothing; other has neither. */
static void make_two(uint32_t one_number, uint32_t other_number)
{
    one = make_segment(one_number);
    other = make_segment(other_number);
    put_something(one);
    take_all(one);
}

TEST(lowering_misses_no_raise_of_the_segment)
{
    make_two(40, 41);
    interleave(lower_one, raise_one, check_one_is_found);
}

TEST(lowering_misses_no_raise_in_the_bank)
{
    make_two(40, 41);
    interleave(lower_one, raise_other, check_other_is_found);
}

TEST(lowering_misses_no_raise_in_the_directory)
{
    make_two(40, 40 + AOMA_BANK_SEGMENTS);
    interleave(lower_one, raise_other, check_other_is_found);
}

/* Another thread has changed the bank's word, as the first one, and not yet the directory's: what comes after relies on
 * that. */
static void raise_other_behind_another(void)
{
    aoma_fetch_or_full(&one->bank->present[KEY], (uint64_t)1 << (AOMA_BANK_SEGMENTS - 1));
    put_something(other);
}

TEST(lowering_misses_no_raise_behind_one_that_is_on_its_way)
{
    make_two(40, 41);
    interleave(lower_one, raise_other_behind_another, check_other_is_found);
}

TEST(raising_is_not_undone_by_a_lowering)
{
    make_two(40, 41);
    interleave(raise_one, lower_one, check_one_is_found);
    take_all(one);
    look_and_lower(one); /* from a clear bit, too */
    interleave(raise_one, lower_one, check_one_is_found);
}

TEST(raising_is_not_undone_by_a_lowering_of_the_bank)
{
    make_two(40, 41);
    look_and_lower(one);
    put_something(other);
    interleave(raise_one, empty_and_lower_other, check_one_is_found);
}

/* As if a raiser had died between the two levels: who comes after it must not rely on the bank's bit alone. */
TEST(a_raise_that_ended_half_way_hides_nothing_of_others)
{
    make_two(40, 41);
    look_and_lower(one);
    aoma_fetch_or_full(&one->partial[CLASS], 1);
    aoma_fetch_or_full(&one->bank->present[KEY], (uint64_t)1 << 40 % AOMA_BANK_SEGMENTS);
    assert_int_equal(find(), AOMA_INDEX_NONE);
    aoma_fetch_or_full(&one->partial[CLASS], 2);
    aoma_index_raise_if(one, KEY, false);
    assert_int_equal(find(), 40);
}

/* A directory's bit whose bank has nothing any more: as if its lowerer had died before its last step. */
static void leave_stale_directory_bit(void)
{
    make_two(40, 41);
    aoma_fetch_clear_full(&one->bank->present[KEY], UINT32_MAX);
}

TEST(a_stale_bank_is_passed_by)
{
    leave_stale_directory_bit();
    struct aoma_segment *last = make_segment(AOMA_MAX_SEGMENTS - 1);
    put_something(last);
    assert_int_equal(find(), last->number);
}

TEST(a_search_that_drops_a_stale_bank_misses_no_raise)
{
    leave_stale_directory_bit();
    interleave(search, raise_other, check_other_is_found);
}

/* ---- banks ---- */

TEST(banks_are_made_once)
{
    assert_non_null(aoma_index_bank(0)); /* static */
    assert_null(aoma_index_bank(AOMA_STATIC_BANKS));
    assert_null(aoma_index_require_bank(AOMA_STATIC_BANKS, NULL)); /* no mmap yet */
    aoma_source_enable_mmap();
    struct aoma_bank *bank = aoma_index_require_bank(AOMA_STATIC_BANKS, NULL);
    assert_non_null(bank);
    assert_ptr_equal(aoma_index_bank(AOMA_STATIC_BANKS), bank);
    assert_ptr_equal(aoma_index_require_bank(AOMA_STATIC_BANKS, NULL), bank);
    assert_null(aoma_index_bank(AOMA_STATIC_BANKS + 1));
    assert_int_equal(aoma_source_mapped_bytes(), BANK_BYTES);
    assert_true(is_zero((uintptr_t)bank, sizeof *bank));
}

TEST(a_bank_that_cannot_be_made_is_null_and_can_be_made_later)
{
    aoma_source_enable_mmap();
    faulty_os.maps_left = 0;
    assert_null(aoma_index_require_bank(AOMA_BANKS - 1, NULL));
    assert_null(aoma_index_bank(AOMA_BANKS - 1));
    assert_int_equal(aoma_source_mapped_bytes(), 0);
    faulty_os.maps_left = 1;
    assert_non_null(aoma_index_require_bank(AOMA_BANKS - 1, NULL));
}

static struct aoma_bank *made, *made_by_intruder;

static void require_bank(void)
{
    made = aoma_index_require_bank(AOMA_STATIC_BANKS, NULL);
}

static void require_bank_too(void)
{
    made_by_intruder = aoma_index_require_bank(AOMA_STATIC_BANKS, NULL);
}

static void check_same_bank(void)
{
    CHECK(made && made == made_by_intruder);
    CHECK(aoma_source_mapped_bytes() == BANK_BYTES); /* the loser's has gone back */
}

TEST(a_bank_made_by_two_at_once_is_one)
{
    aoma_source_enable_mmap();
    interleave(require_bank, require_bank_too, check_same_bank);
}
