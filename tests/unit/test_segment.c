/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

#include "unit.h"
#include "faulty_os.h"
#include "interleave.h"
#include "rng.h"

#include <string.h>
#include <sys/mman.h>

#define ALL_CHUNKS (~(uint64_t)0)

static uint64_t owned(const struct aoma_segment *segment)
{
    return aoma_load_acquire(&segment->owned);
}

static uint64_t taken(const struct aoma_segment *segment)
{
    return aoma_load_acquire(&segment->taken);
}

static struct aoma_segment *segment_at(uintptr_t address)
{
    return aoma_entry_segment(aoma_page_map_get(address));
}

static unsigned chunk_at(uintptr_t address)
{
    return (unsigned)((address & AOMA_SEGMENT_MASK) >> AOMA_CHUNK_SHIFT);
}

static struct aoma_run *take(unsigned n, unsigned align)
{
    bool clean;

    return aoma_segment_take(n, align, &clean);
}

static struct aoma_run *must_take(unsigned n)
{
    struct aoma_run *run = take(n, 1);

    CHECK(run);
    return run;
}

static void give_run(struct aoma_run *run, unsigned n)
{
    aoma_segment_give(segment_of(run), chunk_of(run), n);
}

/* ---- the static heap ---- */

static void check_static_heap(void)
{
    uintptr_t low, high;
    struct aoma_census census;

    aoma_source_static_heap(&low, &high);
    aoma_census_take(&census);
    CHECK(census.chunks_owned == TEST_HEAP_BYTES / AOMA_CHUNK_BYTES && census.chunks_taken == 0);
    CHECK(census.segments == ((high - 1) >> AOMA_SEGMENT_SHIFT) - (low >> AOMA_SEGMENT_SHIFT) + 1);
    for (uintptr_t at = low; at < high; at += AOMA_CHUNK_BYTES) {
        struct aoma_segment *segment = segment_at(at);
        CHECK(segment && (owned(segment) >> chunk_at(at) & 1));
        CHECK(base_of(&segment->run[chunk_at(at)]) == at && segment_of(&segment->run[chunk_at(at)]) == segment);
    }
    check_index();
}

TEST(the_static_heap_is_owned_to_the_chunk)
{
    for (unsigned i = 0; i < 3; i++) {
        aoma_segment_install_static();
        check_static_heap();
        assert_int_equal(aoma_segment_numbers(), AOMA_STATIC_SEGMENTS);
    }
    assert_int_equal(faulty_os_calls(), 0);
}

TEST(the_static_heap_may_be_installed_by_two_at_once)
{
    interleave_sparsely(10, aoma_segment_install_static, aoma_segment_install_static, check_static_heap);
}

static void install_and_hold_all(void)
{
    aoma_segment_install_static();
    hold_all_chunks();
}

static void check_all_is_held(void)
{
    struct aoma_census census;

    aoma_census_take(&census);
    CHECK(census.chunks_taken == census.chunks_owned && census.chunks_owned == TEST_HEAP_BYTES / AOMA_CHUNK_BYTES);
}

/* Who is late must not free what was taken since. */
TEST(a_slow_installer_gives_nothing_out_twice)
{
    interleave_sparsely(10, aoma_segment_install_static, install_and_hold_all, check_all_is_held);
}

/* ---- taking and giving ---- */

TEST(every_length_is_taken_at_every_alignment)
{
    struct aoma_segment *segment = only_group();

    for (unsigned n = 1; n <= AOMA_SEGMENT_CHUNKS; n++) {
        for (unsigned align = 1; align <= AOMA_SEGMENT_CHUNKS; align *= 2) {
            struct aoma_run *offset = n < AOMA_SEGMENT_CHUNKS ? must_take(1) : NULL;
            struct aoma_run *run = take(n, align);
            CHECK(run && chunk_of(run) % align == 0);
            CHECK(state_of(run) == AOMA_RUN_EMPTY && run == &segment_of(run)->run[chunk_of(run)]);
            uint64_t others = offset && segment_of(run) == segment ? aoma_chunk_bits(0, 1) : 0;
            CHECK(taken(segment_of(run)) == (aoma_chunk_bits(chunk_of(run), n) | others));
            give_run(run, n);
            if (offset)
                give_run(offset, 1);
            CHECK(taken(segment_of(run)) == 0);
        }
    }
    check_index();
}

/* Of four segments one has a hole; it must be found, filled, and not exceeded. */
static void check_hole(struct aoma_segment *segment, unsigned first, unsigned n)
{
    aoma_segment_give(segment, first, n);
    if (n < AOMA_SEGMENT_CHUNKS)
        CHECK(take(n + 1, 1) == NULL);
    CHECK(take(n, 1) == &segment->run[first]);
    CHECK(take(1, 1) == NULL);
}

TEST(every_hole_is_found_and_fits)
{
    struct aoma_segment *segment = only_group();

    hold_all_chunks();
    for (unsigned n = 1; n <= AOMA_SEGMENT_CHUNKS; n++) {
        for (unsigned first = 0; first + n <= AOMA_SEGMENT_CHUNKS; first++)
            check_hole(&segment[first % AOMA_GROUP_SEGMENTS], first, n);
    }
}

static unsigned aligned_first(unsigned first, unsigned align)
{
    return (first + align - 1) / align * align;
}

TEST(an_aligned_place_in_a_hole_is_found_if_there_is_one)
{
    struct aoma_segment *segment = only_group();
    struct rng rng = rng_stream(test_seed(), 1);

    hold_all_chunks();
    for (unsigned round = 0; round < 3000; round++) {
        unsigned hole = 1 + (unsigned)rng_below(&rng, AOMA_SEGMENT_CHUNKS);
        unsigned first = (unsigned)rng_below(&rng, AOMA_SEGMENT_CHUNKS - hole + 1);
        unsigned n = 1 + (unsigned)rng_below(&rng, hole), align = 1u << rng_below(&rng, 7);
        aoma_segment_give(segment, first, hole);
        unsigned place = aligned_first(first, align);
        struct aoma_run *expected = place + n <= first + hole ? &segment->run[place] : NULL;
        CHECK(take(n, align) == expected);
        hold_segment(segment);
    }
}

/* More segments whose range is just too short than are tried one by one. */
TEST(a_long_range_is_found_behind_many_short_ones)
{
    enum { GROUPS = 8, N = 3 };
    struct aoma_segment *last = only_group();

    for (unsigned i = 1; i < GROUPS; i++)
        last = add_group();
    hold_all_chunks();
    for (uint32_t number = AOMA_STATIC_SEGMENTS; number < aoma_segment_numbers(); number++)
        aoma_segment_give(aoma_segment_by_number(number), 7, N - 1);
    assert_null(take(N, 1));
    aoma_segment_give(&last[2], 20, N); /* nothing promises that it is long enough: given up after a few others */
    assert_null(take(N, 1));
    aoma_segment_give(&last[3], 20, 4); /* 2^k chunks: is promised by the index */
    assert_ptr_equal(take(N, 1), &last[3].run[20]);
    assert_null(take(N, 1));
}

TEST(take_at_takes_exactly_what_is_free)
{
    struct aoma_segment *segment = only_group();

    assert_true(aoma_segment_take_at(segment, 10, 5));
    assert_true(taken(segment) == aoma_chunk_bits(10, 5));
    assert_false(aoma_segment_take_at(segment, 9, 2));
    assert_false(aoma_segment_take_at(segment, 14, 1));
    assert_false(aoma_segment_take_at(segment, 0, AOMA_SEGMENT_CHUNKS));
    assert_true(taken(segment) == aoma_chunk_bits(10, 5));
    assert_true(aoma_segment_take_at(segment, 0, 10));
    assert_true(aoma_segment_take_at(segment, 15, AOMA_SEGMENT_CHUNKS - 15));
    assert_false(aoma_segment_take_at(&segment[1], 1, AOMA_SEGMENT_CHUNKS)); /* beyond its end */
    assert_false(aoma_segment_take_at(&segment[1], AOMA_SEGMENT_CHUNKS - 1, 2));
    assert_true(aoma_segment_take_at(&segment[1], 0, AOMA_SEGMENT_CHUNKS));
    assert_int_equal(taken(&segment[2]), 0);
}

/* ---- a model ---- */

enum { MODEL_PIECES = 64, MODEL_STEPS = 20000 };

struct piece {
    struct aoma_run *run;
    unsigned n;
};

struct model {
    uint64_t taken[AOMA_GROUP_SEGMENTS], dirty[AOMA_GROUP_SEGMENTS];
    struct piece pieces[MODEL_PIECES];
};

static bool model_has_room(const struct model *model, unsigned n)
{
    for (unsigned i = 0; i < AOMA_GROUP_SEGMENTS; i++) {
        unsigned length = 0;
        for (unsigned chunk = 0; chunk < AOMA_SEGMENT_CHUNKS; chunk++) {
            length = model->taken[i] >> chunk & 1 ? 0 : length + 1;
            if (length == n)
                return true;
        }
    }
    return false;
}

static void model_take(struct model *model, const struct aoma_segment *segments, struct piece *piece, unsigned n)
{
    bool clean;

    piece->run = aoma_segment_take(n, 1, &clean);
    piece->n = n;
    CHECK((piece->run != NULL) == model_has_room(model, n));
    CHECK(n > 0);
    if (!piece->run)
        return;
    size_t i = (size_t)(segment_of(piece->run) - segments);
    uint64_t bits = aoma_chunk_bits(chunk_of(piece->run), n);
    CHECK(i < AOMA_GROUP_SEGMENTS && (model->taken[i] & bits) == 0);
    CHECK(clean == ((model->dirty[i] & bits) == 0));
    model->taken[i] |= bits;
}

static void model_give(struct model *model, const struct aoma_segment *segments, struct piece *piece)
{
    size_t i = (size_t)(segment_of(piece->run) - segments);
    uint64_t bits = aoma_chunk_bits(chunk_of(piece->run), piece->n);

    give_run(piece->run, piece->n);
    model->taken[i] &= ~bits;
    model->dirty[i] |= bits;
    piece->run = NULL;
}

static void model_purge(struct model *model, struct aoma_segment *segments, size_t i)
{
    uint64_t purged = model->dirty[i] & ~model->taken[i];

    CHECK(aoma_segment_purge(&segments[i]) == (size_t)__builtin_popcountll(purged) * AOMA_CHUNK_BYTES);
    model->dirty[i] &= ~purged;
}

static void check_model(const struct model *model, const struct aoma_segment *segments)
{
    size_t dirty_free = 0;

    for (unsigned i = 0; i < AOMA_GROUP_SEGMENTS; i++) {
        CHECK(taken(&segments[i]) == model->taken[i]);
        dirty_free += (size_t)__builtin_popcountll(model->dirty[i] & ~model->taken[i]) * AOMA_CHUNK_BYTES;
    }
    CHECK(aoma_idle_dirty_bytes() == dirty_free);
    check_index();
}

TEST(random_operations_match_a_model)
{
    static struct model model;
    struct aoma_segment *segments = only_group();
    struct rng rng = rng_stream(test_seed(), 2);

    for (unsigned step = 0; step < MODEL_STEPS; step++) {
        struct piece *piece = &model.pieces[rng_below(&rng, MODEL_PIECES)];
        if (piece->run)
            model_give(&model, segments, piece);
        else
            model_take(&model, segments, piece, 1 + (unsigned)(rng_below(&rng, 64) * rng_below(&rng, 64) / 64));
        if (step % 64 == 0)
            model_purge(&model, segments, rng_below(&rng, AOMA_GROUP_SEGMENTS));
        if (step % 16 == 0)
            check_model(&model, segments);
    }
}

/* ---- in the middle of each other ---- */

static struct aoma_segment *shared;
static struct aoma_run *first_run, *second_run;

static void take_first(void)
{
    first_run = take(4, 1);
}

static void take_second(void)
{
    second_run = take(4, 1);
}

static void give_four(void)
{
    aoma_segment_give(shared, 30, 4);
}

static void give_and_take_again(void)
{
    give_four();
    take_second();
}

static void check_two_holders(void)
{
    CHECK(first_run && second_run && first_run != second_run);
    CHECK(__builtin_popcountll(taken(shared)) == 8);
    check_index();
}

TEST(two_takers_get_different_chunks)
{
    shared = only_group();
    interleave_sparsely(4, take_first, take_second, check_two_holders);
}

static void check_one_holder(void)
{
    CHECK(taken(shared) == ALL_CHUNKS);
    CHECK((first_run == &shared->run[30]) + (second_run == &shared->run[30]) == 1);
    CHECK(take(1, 1) == NULL);
}

TEST(one_range_is_given_to_one_of_two)
{
    shared = only_group();
    hold_all_chunks();
    give_four();
    interleave(take_first, take_second, check_one_holder);
}

/* A search that finds nothing corrects the index, and another gives in that moment. */
static void check_given_is_found(void)
{
    check_index();
    if (!first_run)
        take_first();
    CHECK(first_run == &shared->run[30]);
}

TEST(a_fruitless_search_hides_nothing_that_is_given)
{
    shared = only_group();
    for (unsigned i = 0; i < AOMA_GROUP_SEGMENTS; i++)
        hold_segment(&shared[i]); /* the index still names them */
    interleave(take_first, give_four, check_given_is_found);
}

TEST(what_is_given_is_found_whatever_search_comes_between)
{
    shared = only_group();
    hold_all_chunks();
    interleave(give_four, take_first, check_given_is_found);
}

static void check_retaken(void)
{
    CHECK((first_run == &shared->run[30]) + (second_run == &shared->run[30]) == 1);
    CHECK(taken(shared) == ALL_CHUNKS);
    check_index();
}

TEST(chunks_that_come_and_go_are_taken_once)
{
    shared = only_group();
    hold_all_chunks();
    interleave_sparsely(4, take_first, give_and_take_again, check_retaken);
}

/* ---- clean and dirty ---- */

TEST(memory_is_clean_until_it_was_used)
{
    struct aoma_segment *segment = only_group();
    bool clean;

    struct aoma_run *run = aoma_segment_take(4, 1, &clean);
    assert_true(clean);
    assert_true(is_zero(base_of(run), 4 * AOMA_CHUNK_BYTES));
    aoma_segment_give(segment, 1, 1); /* one of the four */
    assert_ptr_equal(aoma_segment_take(1, 1, &clean), &segment->run[1]);
    assert_false(clean);
    aoma_segment_give(segment, 0, 4);
    assert_ptr_equal(aoma_segment_take(5, 1, &clean), &segment->run[0]); /* one that is clean with them */
    assert_false(clean);
    assert_ptr_equal(aoma_segment_take(5, 1, &clean), &segment->run[5]);
    assert_true(clean);
}

TEST(dirty_free_bytes_are_those_that_a_purge_would_save)
{
    struct aoma_segment *segment = only_group();

    assert_int_equal(aoma_idle_dirty_bytes(), 0);
    must_take(10);
    aoma_segment_give(segment, 2, 3);
    assert_int_equal(aoma_idle_dirty_bytes(), 3 * AOMA_CHUNK_BYTES);
    assert_true(aoma_segment_take_at(segment, 4, 1));
    assert_int_equal(aoma_idle_dirty_bytes(), 2 * AOMA_CHUNK_BYTES);
    aoma_idle_count_dirty(5000, 0);
    assert_int_equal(aoma_idle_dirty_bytes(), 2 * AOMA_CHUNK_BYTES + 5000);
    aoma_idle_count_dirty(0, 5000);
    aoma_idle_count_dirty(7, 7);
    assert_int_equal(aoma_segment_purge(segment), 2 * AOMA_CHUNK_BYTES);
    assert_int_equal(aoma_idle_dirty_bytes(), 0);
    aoma_idle_count_dirty(0, 1); /* a subtraction seen before its addition */
    assert_int_equal(aoma_idle_dirty_bytes(), 0);
}

TEST(the_share_kept_grows_with_what_is_mapped)
{
    size_t before = aoma_idle_limit();

    assert_int_equal(before, 4 * MIB);
    add_group();
    assert_int_equal(aoma_idle_limit(), before + aoma_source_mapped_bytes() / 16);
}

TEST(idle_is_what_is_dirty_and_what_is_kept_beyond_what_is_in_use)
{
    add_group();
    void *mem = aoma_source_map(MIB, AOMA_SEGMENT_BYTES);

    assert_int_equal(aoma_idle_surplus(), 0);
    aoma_idle_count_dirty(aoma_idle_limit(), 0);
    assert_int_equal(aoma_idle_surplus(), 0);
    aoma_idle_count_dirty(5, 0);
    assert_int_equal(aoma_idle_surplus(), 5);
    aoma_idle_count_dirty(0, 5);
    aoma_kept_put(mem, MIB);
    assert_int_equal(aoma_idle_surplus(), MIB);
    aoma_kept_count_use(MIB - 7, 0);
    assert_int_equal(aoma_idle_surplus(), 7);
    aoma_kept_count_use(7, 0);
    assert_int_equal(aoma_idle_surplus(), 0);
}

/* What is kept of mappings gives way to segments. */
TEST(a_group_is_mapped_in_place_of_what_is_kept)
{
    add_group();
    void *mem = aoma_source_map(8 * MIB, AOMA_SEGMENT_BYTES);
    size_t mapped = aoma_source_mapped_bytes();

    aoma_kept_put(mem, 8 * MIB);
    assert_true(aoma_segment_grow());
    assert_int_equal(aoma_kept_bytes(), 8 * MIB - AOMA_GROUP_BYTES);
    assert_int_equal(aoma_source_mapped_bytes(), mapped);
}

/* ---- purging ---- */

static void fill(uintptr_t mem, size_t bytes)
{
    memset((void *)mem, 0x5a, bytes);
}

static bool is_filled(uintptr_t mem, size_t bytes)
{
    const unsigned char *first = (const unsigned char *)mem;

    return first[0] == 0x5a && memcmp(first, first + 1, bytes - 1) == 0;
}

static uintptr_t chunk_address(const struct aoma_segment *segment, unsigned chunk)
{
    return base_of(&segment->run[chunk]);
}

/* Every chunk written to; in use are all but 0..1, 10..19 and 63. */
static struct aoma_segment *make_three_holes(void)
{
    struct aoma_segment *segment = only_group();

    fill(base_of(must_take(AOMA_SEGMENT_CHUNKS)), AOMA_SEGMENT_BYTES);
    aoma_segment_give(segment, 0, 2);
    aoma_segment_give(segment, 10, 10);
    aoma_segment_give(segment, 63, 1);
    return segment;
}

TEST(purge_wipes_free_memory_only)
{
    struct aoma_segment *segment = make_three_holes();
    bool clean;

    assert_int_equal(aoma_segment_purge(segment), 13 * AOMA_CHUNK_BYTES);
    assert_int_equal(faulty_os.purge_calls, 3);
    for (unsigned chunk = 0; chunk < AOMA_SEGMENT_CHUNKS; chunk++) {
        uintptr_t at = chunk_address(segment, chunk);
        bool in_use = taken(segment) >> chunk & 1;
        CHECK(in_use ? is_filled(at, AOMA_CHUNK_BYTES) : is_zero(at, AOMA_CHUNK_BYTES));
    }
    assert_int_equal(aoma_segment_purge(segment), 0);
    assert_int_equal(faulty_os.purge_calls, 3);
    check_index();
    assert_ptr_equal(aoma_segment_take(2, 1, &clean), &segment->run[0]);
    assert_true(clean);
}

TEST(memory_that_was_never_used_is_not_purged)
{
    struct aoma_segment *segment = only_group();

    assert_int_equal(aoma_segment_purge(segment), 0);
    assert_int_equal(faulty_os.purge_calls, 0);
    struct aoma_run *run = must_take(AOMA_SEGMENT_CHUNKS);
    give_run(run, AOMA_SEGMENT_CHUNKS);
    assert_int_equal(aoma_segment_purge(segment_of(run)), AOMA_SEGMENT_BYTES);
    assert_int_equal(faulty_os.purge_calls, 1);
}

/* Whichever of the calls is refused: the memory is free as before, and dirty. */
TEST(a_refused_purge_changes_nothing)
{
    for (unsigned allowed = 0; allowed < 3; allowed++) {
        struct aoma_segment *segment = make_three_holes();
        uint64_t before = taken(segment);
        size_t dirty = aoma_idle_dirty_bytes();
        faulty_os.purges_left = allowed;
        size_t purged = aoma_segment_purge(segment);
        CHECK(purged == (allowed == 0 ? 0 : allowed == 1 ? 2 : 12) * AOMA_CHUNK_BYTES);
        CHECK(taken(segment) == before);
        CHECK(aoma_idle_dirty_bytes() == dirty - purged);
        faulty_os.purges_left = FAULTY_OS_NEVER;
        CHECK(aoma_segment_purge(segment) == 13 * AOMA_CHUNK_BYTES - purged);
        check_index();
    }
}

static void purge_shared(void)
{
    (void)aoma_segment_purge(shared);
}

static const unsigned written_chunks[] = {0, 12};
static bool is_written[2];

static void take_and_write(void)
{
    for (unsigned i = 0; i < 2; i++) {
        is_written[i] = aoma_segment_take_at(shared, written_chunks[i], 1);
        if (is_written[i])
            fill(chunk_address(shared, written_chunks[i]), AOMA_CHUNK_BYTES);
    }
}

static void check_written_is_there(void)
{
    for (unsigned i = 0; i < 2; i++) {
        CHECK(is_written[i] == (taken(shared) >> written_chunks[i] & 1));
        CHECK(!is_written[i] || is_filled(chunk_address(shared, written_chunks[i]), AOMA_CHUNK_BYTES));
    }
    uint64_t dirty_free = aoma_segment_free_chunks(shared) & aoma_load_acquire(&shared->dirty);
    CHECK(aoma_idle_dirty_bytes() == (size_t)__builtin_popcountll(dirty_free) * AOMA_CHUNK_BYTES);
    check_index();
}

TEST(purge_never_wipes_what_is_taken_meanwhile)
{
    shared = make_three_holes();
    interleave(purge_shared, take_and_write, check_written_is_there);
}

/* So many dirty free chunks of the segment, beside more dirt than is kept. */
static unsigned purges_with(unsigned dirty, bool beside_others)
{
    struct aoma_segment *segment = only_group();
    unsigned before = faulty_os.purge_calls;

    must_take(AOMA_SEGMENT_CHUNKS);
    aoma_segment_give(segment, 0, dirty);
    if (beside_others)
        aoma_idle_count_dirty(aoma_idle_limit() + 1, aoma_idle_dirty_bytes());
    aoma_segment_purge_if_due(segment);
    return faulty_os.purge_calls - before;
}

TEST(a_purge_is_due_when_there_is_much_to_purge_here_and_everywhere)
{
    assert_int_equal(purges_with(4, false), 0);
    assert_int_equal(purges_with(4, true), 1);
    assert_int_equal(purges_with(3, true), 0);
}

/* As under mlockall: the memory stays, and each further try would cost a system call. */
TEST(a_refused_purge_is_not_tried_each_time)
{
    enum { DIRTY = 4 };
    struct aoma_segment *segment = only_group();

    must_take(AOMA_SEGMENT_CHUNKS);
    aoma_segment_give(segment, 0, DIRTY);
    aoma_idle_count_dirty(2 * aoma_idle_limit(), 0);
    faulty_os.purges_left = 0;
    for (unsigned i = 0; i < 5; i++)
        aoma_segment_purge_if_due(segment);
    assert_int_equal(faulty_os.purge_calls, 1);
    aoma_idle_count_dirty(aoma_idle_dirty_bytes() + 2, 0);
    aoma_segment_purge_if_due(segment);
    assert_int_equal(faulty_os.purge_calls, 2);
    assert_int_equal(aoma_segment_purge(segment), 0); /* by trim, which asks nobody */
    assert_int_equal(faulty_os.purge_calls, 3);
    faulty_os.purges_left = FAULTY_OS_NEVER;
    assert_int_equal(aoma_segment_purge(segment), DIRTY * AOMA_CHUNK_BYTES);
    must_take(DIRTY);
    aoma_segment_give(segment, 0, DIRTY);
    aoma_segment_purge_if_due(segment);
    assert_int_equal(faulty_os.purge_calls, 5);
}

/* Memory is taken from low segments first, so what was just given low is what is asked for next. */
TEST(the_highest_that_is_worth_it_is_purged)
{
    enum { DIRTY = 4 };
    struct aoma_segment *segments = only_group();
    bool clean;

    for (unsigned i = 0; i < 3; i++) {
        must_take(AOMA_SEGMENT_CHUNKS);
        aoma_segment_give(&segments[i], 0, i == 2 ? DIRTY - 1 : DIRTY);
    }
    aoma_idle_count_dirty(2 * aoma_idle_limit(), 0);
    aoma_segment_purge_if_due(&segments[0]);
    assert_int_equal(faulty_os.purge_calls, 1);
    assert_ptr_equal(aoma_segment_take(DIRTY, 1, &clean), &segments[0].run[0]);
    assert_false(clean);
    assert_ptr_equal(aoma_segment_take(DIRTY, 1, &clean), &segments[1].run[0]);
    assert_true(clean);
    aoma_segment_give(&segments[0], 0, DIRTY);
    aoma_segment_purge_if_due(&segments[0]); /* none but itself */
    assert_ptr_equal(aoma_segment_take(DIRTY, 1, &clean), &segments[0].run[0]);
    assert_true(clean);
}

/* The segments of regions and of the static heap's ends have fewer chunks than are asked for elsewhere. */
TEST(a_wholly_free_segment_is_purged_however_few_chunks_are_dirty)
{
    struct aoma_segment *segment = only_group();

    aoma_segment_give(segment, chunk_of(must_take(1)), 1);
    aoma_idle_count_dirty(aoma_idle_limit(), 0);
    aoma_segment_purge_if_due(segment);
    assert_int_equal(faulty_os.purge_calls, 1);
}

/* Gives and takes one chunk until so many bytes as are mapped have been given, some times over. */
static void give_and_take_for_rounds(unsigned rounds)
{
    size_t chunks = rounds * ((aoma_source_mapped_bytes() + AOMA_IDLE_BYTES) / AOMA_CHUNK_BYTES + 1);

    for (size_t i = 0; i < chunks; i++) {
        struct aoma_run *run = must_take(1);
        give_run(run, 1);
    }
}

/* What is beyond the limit goes, as if it had been purged. */
static void go_down_to_limit(void)
{
    aoma_idle_count_dirty(0, aoma_idle_surplus());
}

/* Up to the limit nearly, which then falls from round to round; the bytes, which lie idle again. */
static size_t idle_for_rounds(void)
{
    (void)only_group();
    size_t idle = aoma_idle_limit() - AOMA_MIB / 4;

    aoma_idle_count_dirty(idle, aoma_idle_dirty_bytes());
    assert_int_equal(aoma_idle_surplus(), 0);
    for (unsigned i = 0; i < 24; i++) {
        give_and_take_for_rounds(1);
        go_down_to_limit();
    }
    aoma_idle_count_dirty(idle, aoma_idle_dirty_bytes());
    assert_in_range(aoma_idle_surplus(), idle - AOMA_IDLE_LEAST_BYTES - AOMA_MIB / 4, idle);
    return idle;
}

/* Idle memory that serves nobody comes off the limit; when it is asked for, the limit rises again. */
TEST(the_idle_limit_follows_what_is_needed)
{
    size_t idle = idle_for_rounds();

    aoma_idle_count_dirty(0, aoma_idle_dirty_bytes());
    give_and_take_for_rounds(30);
    aoma_idle_count_dirty(idle, aoma_idle_dirty_bytes());
    assert_in_range(aoma_idle_surplus(), 0, AOMA_MIB / 4);
}

TEST(the_idle_limit_goes_back_to_what_nobody_could_purge)
{
    (void)idle_for_rounds();
    give_and_take_for_rounds(4);
    assert_in_range(aoma_idle_surplus(), 0, AOMA_MIB / 4);
}

/* Rounds in each of which so many bytes are faulted in, and so many are served; what the limit is below idle then. */
static size_t surplus_after_rounds(size_t idle, size_t fresh, size_t served)
{
    go_down_to_limit();
    for (unsigned i = 0; i < 24; i++) {
        aoma_idle_note_taken(fresh);
        aoma_idle_note_served(served);
        give_and_take_for_rounds(1);
        go_down_to_limit();
    }
    aoma_idle_count_dirty(idle, aoma_idle_dirty_bytes());
    return aoma_idle_surplus();
}

/* Idle memory may be left over in each round and yet be worth more than the page faults that purging it costs. */
TEST(the_idle_limit_rises_when_much_of_what_is_served_is_faulted_in)
{
    size_t idle = idle_for_rounds();

    assert_in_range(surplus_after_rounds(idle, AOMA_MIB, 100 * AOMA_MIB), idle - 2 * AOMA_IDLE_LEAST_BYTES, idle);
    assert_in_range(surplus_after_rounds(idle, AOMA_MIB, 20 * AOMA_MIB), 0, AOMA_MIB / 4);
}

/* Scattered chunks that no purge takes must not have what is freed beside them purged each time. */
TEST(scattered_idle_memory_does_not_have_the_rest_purged)
{
    enum { GROUPS = 24, HOLE_CHUNKS = 3, RUN_CHUNKS = 16, ROUNDS = 24 };
    struct aoma_segment *last = only_group();
    unsigned gives = 0, before = 0;

    for (unsigned i = 0; i < GROUPS; i++)
        CHECK(aoma_segment_grow());
    hold_all_chunks();
    for (uint32_t number = 0; number < aoma_segment_numbers(); number++) {
        struct aoma_segment *segment = aoma_segment_by_number(number);
        if (segment && segment != last && aoma_load_acquire(&segment->owned) == ~(uint64_t)0)
            aoma_segment_give(segment, 8, HOLE_CHUNKS);
    }
    CHECK(aoma_idle_dirty_bytes() > 2 * AOMA_IDLE_LEAST_BYTES);
    CHECK(aoma_idle_dirty_bytes() < aoma_idle_limit() - AOMA_MIB);
    aoma_segment_give(last, 32, RUN_CHUNKS);
    size_t round = (aoma_source_mapped_bytes() + AOMA_IDLE_BYTES) / (RUN_CHUNKS * AOMA_CHUNK_BYTES) + 1;
    for (size_t i = 0; i < ROUNDS * round; i++) {
        struct aoma_run *run = must_take(RUN_CHUNKS);
        aoma_idle_note_served(AOMA_CHUNK_BYTES * RUN_CHUNKS * 100); /* of small blocks, again and again */
        give_run(run, RUN_CHUNKS);
        aoma_segment_purge_if_due(segment_of(run));
        if (i == ROUNDS / 2 * round) {
            before = faulty_os.purge_calls;
            gives = 0;
        }
        gives++;
    }
    assert_in_range(faulty_os.purge_calls - before, 0, gives / 4);
}

TEST(nothing_is_purged_before_mmap_is_enabled)
{
    aoma_segment_install_static();
    struct aoma_run *run = must_take(1);

    give_run(run, 1);
    aoma_idle_count_dirty(2 * aoma_idle_limit(), 0);
    aoma_segment_purge_if_due(segment_of(run));
    assert_int_equal(faulty_os.purge_calls, 0);
}

/* ---- growing ---- */

TEST(growing_first_adds_the_static_heap_and_then_nothing)
{
    assert_true(aoma_segment_grow());
    check_static_heap();
    assert_false(aoma_segment_grow());
    assert_int_equal(faulty_os_calls(), 0);
}

TEST(growing_maps_a_group)
{
    struct aoma_segment *segment = only_group();

    assert_int_equal(segment->base % AOMA_GROUP_BYTES, 0);
    for (unsigned i = 0; i < AOMA_GROUP_SEGMENTS; i++) {
        assert_ptr_equal(segment_at(segment->base + i * AOMA_SEGMENT_BYTES), &segment[i]);
        assert_ptr_equal(segment_at(segment->base + (i + 1) * AOMA_SEGMENT_BYTES - 1), &segment[i]);
        assert_int_equal(segment[i].base, segment->base + i * AOMA_SEGMENT_BYTES);
        assert_true(owned(&segment[i]) == ALL_CHUNKS);
        assert_int_equal(taken(&segment[i]), 0);
    }
    assert_true(is_zero(segment->base, AOMA_GROUP_BYTES));
    check_index();
}

TEST(growing_stays_below_the_limit)
{
    aoma_segment_install_static();
    aoma_source_enable_mmap();
    aoma_source_set_limit(AOMA_GROUP_BYTES - 1);
    assert_false(aoma_segment_grow());
    assert_int_equal(faulty_os.map_calls, 0);
    aoma_source_set_limit(3 * AOMA_GROUP_BYTES - 1); /* a group and its metadata, not two */
    assert_true(aoma_segment_grow());
    aoma_source_set_limit(aoma_source_mapped_bytes() + AOMA_GROUP_BYTES - 1);
    assert_false(aoma_segment_grow());
}

/* As many numbers as fill the banks there are, so that the next group needs metadata. */
static void fill_banks(void)
{
    add_group();
    while ((aoma_segment_numbers() + AOMA_GROUP_SEGMENTS - 1) / AOMA_BANK_SEGMENTS ==
           (aoma_segment_numbers() - 1) / AOMA_BANK_SEGMENTS)
        add_group();
}

static void check_growing_failed(size_t mapped, const struct aoma_census *before)
{
    struct aoma_census after;

    CHECK(!aoma_segment_grow());
    CHECK(aoma_source_mapped_bytes() == mapped);
    aoma_census_take(&after);
    CHECK(memcmp(&after, before, sizeof after) == 0);
    check_index();
}

TEST(whichever_mapping_is_refused_growing_loses_nothing)
{
    struct aoma_census before;

    fill_banks();
    aoma_census_take(&before);
    size_t mapped = aoma_source_mapped_bytes();
    unsigned allowed = 0;
    for (bool grown = false; !grown; allowed++) {
        faulty_os.maps_left = allowed;
        uint32_t numbers = aoma_segment_numbers();
        grown = aoma_segment_grow();
        if (grown)
            break;
        CHECK(aoma_segment_numbers() <= numbers + AOMA_GROUP_SEGMENTS);
        CHECK(aoma_source_mapped_bytes() == mapped);
        check_growing_failed(mapped, &before);
    }
    assert_in_range(allowed, 2, 4); /* the group, perhaps mapped twice, and a bank */
    checked_census(0);
}

/* A number that is claimed in vain is gone, and there are only so many. */
TEST(growing_in_vain_uses_no_numbers_up)
{
    fill_banks();
    uint32_t numbers = aoma_segment_numbers();
    aoma_source_set_limit(aoma_source_mapped_bytes() + AOMA_GROUP_BYTES); /* none for metadata */
    for (unsigned i = 0; i < 100; i++)
        assert_false(aoma_segment_grow());
    assert_in_range(aoma_segment_numbers(), numbers, numbers + AOMA_GROUP_SEGMENTS);
}

/* Nor may the windows stay claimed: their address space is the system's to give to a mapping. */
TEST(growing_in_vain_leaves_no_entry_behind)
{
    fill_banks();
    faulty_os.place = find_free_area(AOMA_GROUP_BYTES);
    uintptr_t area = faulty_os.place;
    aoma_source_set_limit(aoma_source_mapped_bytes() + AOMA_GROUP_BYTES);
    assert_false(aoma_segment_grow());
    for (unsigned i = 0; i < AOMA_GROUP_SEGMENTS; i++)
        assert_int_equal(aoma_page_map_get(area + i * AOMA_SEGMENT_BYTES), 0);
}

static bool first_grown, second_grown;

static void grow_first(void)
{
    first_grown = aoma_segment_grow();
}

static void grow_second(void)
{
    second_grown = aoma_segment_grow();
}

static void check_two_groups(void)
{
    struct aoma_census census;

    CHECK(first_grown && second_grown);
    aoma_census_take(&census);
    CHECK(census.chunks_owned == (TEST_HEAP_BYTES + 2 * AOMA_GROUP_BYTES) / AOMA_CHUNK_BYTES);
    for (uint32_t number = AOMA_STATIC_SEGMENTS; number < aoma_segment_numbers(); number++) {
        struct aoma_segment *segment = aoma_segment_by_number(number);
        CHECK(segment && segment->number == number && owned(segment) == ALL_CHUNKS);
    }
    check_index();
}

TEST(two_may_grow_at_once)
{
    aoma_segment_install_static();
    aoma_source_enable_mmap();
    interleave_sparsely(10, grow_first, grow_second, check_two_groups);
}

/* With numbers for one group alone, and memory for two but not for more metadata. */
static void leave_room_for_one_group(void)
{
    add_group();
    while ((aoma_segment_numbers() + 2 * AOMA_GROUP_SEGMENTS - 1) / AOMA_BANK_SEGMENTS ==
           (aoma_segment_numbers() + AOMA_GROUP_SEGMENTS - 1) / AOMA_BANK_SEGMENTS)
        add_group();
    assert_true(aoma_index_bank((aoma_segment_numbers() + AOMA_GROUP_SEGMENTS - 1) / AOMA_BANK_SEGMENTS) != NULL);
    aoma_source_set_limit(aoma_source_mapped_bytes() + 2 * AOMA_GROUP_BYTES + AOMA_CHUNK_BYTES);
}

/* A window that has got a segment in vain could not become an own mapping's. */
static void check_one_group(void)
{
    CHECK(first_grown != second_grown);
    for (uint32_t number = AOMA_STATIC_SEGMENTS; number < aoma_segment_numbers(); number++) {
        const struct aoma_segment *segment = aoma_segment_by_number(number);

        CHECK(segment && owned(segment) == ALL_CHUNKS);
    }
    check_index();
}

TEST(one_of_two_may_grow_and_the_other_leaves_no_entry_behind)
{
    leave_room_for_one_group();
    interleave_sparsely(10, grow_first, grow_second, check_one_group);
}

/* ---- regions ---- */

/* What a region of this length is used for beside its metadata. */
static size_t region_chunks(uintptr_t low, uintptr_t high)
{
    size_t chunks = 0;

    for (uintptr_t at = low; at < high; at += AOMA_CHUNK_BYTES)
        chunks += segment_at(at) && (owned(segment_at(at)) >> chunk_at(at) & 1);
    return chunks;
}

TEST(a_region_is_owned_to_the_chunk)
{
    uintptr_t area = map_area(3 * AOMA_SEGMENT_BYTES);
    uintptr_t low = area + 5 * AOMA_CHUNK_BYTES, high = area + 2 * AOMA_SEGMENT_BYTES + 7 * AOMA_CHUNK_BYTES;

    use_up_static_heap();
    aoma_source_enable_mmap();
    assert_true(aoma_segment_add_region(low, high));
    assert_true(owned(segment_at(area)) == aoma_chunk_bits(5, 59));
    assert_true(owned(segment_at(area + AOMA_SEGMENT_BYTES)) == ALL_CHUNKS);
    assert_true(owned(segment_at(area + 2 * AOMA_SEGMENT_BYTES)) == aoma_chunk_bits(0, 7));
    assert_int_equal(region_chunks(area, area + 3 * AOMA_SEGMENT_BYTES), 59 + 64 + 7);
    check_index();
    while (take(1, 1))
        ;
    assert_true(taken(segment_at(area)) == aoma_chunk_bits(5, 59)); /* no chunk that is not owned */
    assert_true(taken(segment_at(high)) == aoma_chunk_bits(0, 7));
}

#define LEAF_BYTES ((uintptr_t)1 << AOMA_PAGE_MAP_LEAF_SHIFT)

static uintptr_t regions[AOMA_PAGE_MAP_LEAVES_STATIC + 1];
static bool region_added;

/* Mapped, each where it needs a leaf of the page map of its own. */
static bool map_apart(void)
{
    uintptr_t at = find_free_area(AOMA_SEGMENT_BYTES) & ~(LEAF_BYTES - 1);

    for (unsigned i = 0; i <= AOMA_PAGE_MAP_LEAVES_STATIC;) {
        at -= LEAF_BYTES;
        if (at < LEAF_BYTES)
            return false;
        regions[i] = (uintptr_t)mmap((void *)at, AOMA_SEGMENT_BYTES, PROT_READ | PROT_WRITE,
                                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
        i += regions[i] == at;
    }
    return true;
}

/* The first region has none of the static leaves yet, of which so many are left. */
static void use_static_leaves_up(unsigned left)
{
    aoma_segment_install_static();
    if (!map_apart())
        test_skip("no room for as many areas");
    for (unsigned i = 1 + left; i <= AOMA_PAGE_MAP_LEAVES_STATIC; i++)
        CHECK(aoma_segment_add_region(regions[i], regions[i] + AOMA_CHUNK_BYTES));
}

/* As long as the leaf that it may have to pay for. */
static void add_region_of_a_leaf(void)
{
    uintptr_t region = regions[0];

    region_added =
        aoma_segment_add_region(region, region + aoma_source_metadata_bytes(sizeof(struct aoma_page_map_leaf)));
}

static void take_last_static_leaf(void)
{
    (void)aoma_segment_add_region(regions[1], regions[1] + AOMA_CHUNK_BYTES);
}

static void check_nothing_beyond_is_owned(void)
{
    struct aoma_segment *segment = segment_at(regions[0]);
    unsigned chunks = (unsigned)(aoma_source_metadata_bytes(sizeof(struct aoma_page_map_leaf)) >> AOMA_CHUNK_SHIFT);

    CHECK(!segment || (owned(segment) & ~aoma_chunk_bits(0, chunks)) == 0);
    CHECK(region_added || !segment || owned(segment) == 0);
}

TEST(a_region_that_its_bookkeeping_uses_up_owns_nothing)
{
    use_static_leaves_up(1);
    interleave(add_region_of_a_leaf, take_last_static_leaf, check_nothing_beyond_is_owned);
}

TEST(bookkeeping_is_not_added_once_more)
{
    use_static_leaves_up(0);
    assert_true(aoma_segment_add_region(regions[0], regions[0] + AOMA_SEGMENT_BYTES));
    assert_false(owned(segment_at(regions[0])) & 1);
    assert_true(aoma_segment_overlaps(regions[0], regions[0] + AOMA_CHUNK_BYTES));
}

/* An own mapping may end in a segment's window: what lies before its end there is not a region's. */
TEST(the_end_of_a_mapping_in_a_segments_window_overlaps)
{
    uintptr_t area = map_area(2 * AOMA_SEGMENT_BYTES);
    uintptr_t end = area + AOMA_SEGMENT_BYTES + AOMA_SEGMENT_BYTES / 2;

    aoma_segment_install_static();
    assert_true(aoma_page_map_reserve(area, end, NULL));
    aoma_page_map_set(area, (end - area) >> AOMA_PAGE_SHIFT << AOMA_ENTRY_SHIFT | AOMA_ENTRY_MAPPING);
    aoma_page_map_change_interior(area, end, 0, AOMA_ENTRY_INTERIOR);
    assert_false(aoma_segment_overlaps(end, end + AOMA_CHUNK_BYTES));
    assert_true(aoma_segment_add_region(end, end + AOMA_CHUNK_BYTES));
    assert_true(aoma_segment_overlaps(end - AOMA_CHUNK_BYTES, end));
    assert_false(aoma_segment_overlaps(end + AOMA_CHUNK_BYTES, end + 2 * AOMA_CHUNK_BYTES));
}

TEST(a_regions_memory_is_never_clean_and_never_purged)
{
    uintptr_t area = map_area(AOMA_SEGMENT_BYTES);
    bool clean;

    use_up_static_heap();
    aoma_source_enable_mmap();
    fill(area, AOMA_SEGMENT_BYTES);
    assert_true(aoma_segment_add_region(area, area + AOMA_SEGMENT_BYTES));
    aoma_idle_count_dirty(MIB, 0);
    struct aoma_run *run = aoma_segment_take(3, 1, &clean);
    assert_int_equal(base_of(run), area);
    assert_false(clean);
    assert_int_equal(aoma_idle_dirty_bytes(), MIB); /* nothing of it is what a purge would save */
    give_run(run, 3);
    assert_int_equal(aoma_idle_dirty_bytes(), MIB);
    assert_int_equal(aoma_segment_purge(segment_of(run)), 0);
    aoma_idle_count_dirty(2 * aoma_idle_limit(), 0);
    aoma_segment_purge_if_due(segment_of(run));
    assert_int_equal(faulty_os.purge_calls, 0);
    assert_true(is_filled(area, AOMA_SEGMENT_BYTES));
    assert_non_null(aoma_segment_take(3, 1, &clean));
    assert_false(clean);
}

TEST(regions_share_a_window)
{
    uintptr_t area = map_area(AOMA_SEGMENT_BYTES);

    use_up_static_heap();
    aoma_source_enable_mmap();
    assert_true(aoma_segment_add_region(area + 10 * AOMA_CHUNK_BYTES, area + 12 * AOMA_CHUNK_BYTES));
    struct aoma_segment *segment = segment_at(area);
    must_take(2);
    assert_true(aoma_segment_add_region(area + 12 * AOMA_CHUNK_BYTES, area + 20 * AOMA_CHUNK_BYTES));
    assert_ptr_equal(segment_at(area), segment);
    assert_true(owned(segment) == aoma_chunk_bits(10, 10));
    assert_true(taken(segment) == aoma_chunk_bits(10, 2));
    assert_ptr_equal(take(8, 1), &segment->run[12]);
}

/* Regions of a chunk each, until the static banks have no number left. */
static void use_up_static_numbers(void)
{
    aoma_segment_install_static();
    while (aoma_segment_numbers() % AOMA_BANK_SEGMENTS) {
        uintptr_t area = map_area(AOMA_SEGMENT_BYTES);
        CHECK(aoma_segment_add_region(area, area + AOMA_CHUNK_BYTES));
    }
}

/* The memory for bookkeeping is cut from the region; the smallest that is accepted is of use. */
TEST(without_mmap_a_region_pays_for_its_metadata)
{
    size_t metadata = sizeof(struct aoma_bank) + sizeof(struct aoma_page_map_leaf) + 3 * AOMA_CHUNK_BYTES;
    size_t bytes = AOMA_CHUNK_BYTES;

    use_up_static_numbers();
    uintptr_t area = map_area(2 * AOMA_GROUP_BYTES);
    uint32_t numbers = aoma_segment_numbers();
    while (!aoma_segment_add_region(area, area + bytes)) {
        assert_int_equal(aoma_segment_numbers(), numbers);
        assert_int_equal(region_chunks(area, area + bytes), 0);
        bytes += AOMA_CHUNK_BYTES;
        assert_true(bytes <= AOMA_GROUP_BYTES);
    }
    assert_in_range(bytes, sizeof(struct aoma_bank) + AOMA_CHUNK_BYTES, metadata + AOMA_CHUNK_BYTES);
    assert_true(region_chunks(area, area + bytes) >= 1);
    assert_false(owned(segment_at(area)) & 1); /* the bank lies there */
    assert_int_equal(faulty_os_calls(), 0);
    check_index();
}

TEST(a_region_without_memory_for_metadata_is_refused)
{
    fill_banks();
    uintptr_t area = map_area(AOMA_GROUP_BYTES);
    faulty_os.maps_left = 0;
    assert_false(aoma_segment_add_region(area, area + AOMA_GROUP_BYTES));
    assert_int_equal(region_chunks(area, area + AOMA_GROUP_BYTES), 0);
    faulty_os.maps_left = FAULTY_OS_NEVER;
    assert_true(aoma_segment_add_region(area, area + AOMA_GROUP_BYTES));
    assert_int_equal(region_chunks(area, area + AOMA_GROUP_BYTES), AOMA_GROUP_BYTES / AOMA_CHUNK_BYTES);
}

TEST(overlap_is_told_to_the_chunk)
{
    uintptr_t area = map_area(3 * AOMA_SEGMENT_BYTES);
    uintptr_t low = area + AOMA_SEGMENT_BYTES - 3 * AOMA_CHUNK_BYTES;
    uintptr_t high = area + AOMA_SEGMENT_BYTES + 2 * AOMA_CHUNK_BYTES;

    aoma_segment_install_static();
    assert_false(aoma_segment_overlaps(area, area + 3 * AOMA_SEGMENT_BYTES));
    aoma_source_enable_mmap();
    assert_true(aoma_segment_add_region(low, high));
    assert_false(aoma_segment_overlaps(area, low));
    assert_false(aoma_segment_overlaps(high, area + 3 * AOMA_SEGMENT_BYTES));
    assert_true(aoma_segment_overlaps(area, low + AOMA_CHUNK_BYTES));
    assert_true(aoma_segment_overlaps(high - AOMA_CHUNK_BYTES, high));
    assert_true(aoma_segment_overlaps(area, area + 3 * AOMA_SEGMENT_BYTES));
    assert_true(aoma_segment_overlaps(low + AOMA_CHUNK_BYTES, low + 2 * AOMA_CHUNK_BYTES));
}

/* An own mapping ends within a window: behind its end is room for others. */
TEST(overlap_knows_where_an_own_mapping_ends)
{
    uintptr_t area = find_free_area(2 * AOMA_GROUP_BYTES);
    size_t bytes = 2 * AOMA_SEGMENT_BYTES + 3 * AOMA_CHUNK_BYTES;
    bool clean;

    aoma_source_enable_mmap();
    aoma_source_set_limit(bytes); /* else it would be whole windows */
    faulty_os.place = area;
    assert_int_equal((uintptr_t)aoma_mapping_take(bytes, 1, &clean), area);
    assert_true(aoma_segment_overlaps(area, area + AOMA_CHUNK_BYTES));
    assert_true(aoma_segment_overlaps(area + bytes - AOMA_CHUNK_BYTES, area + bytes));
    assert_true(aoma_segment_overlaps(area + AOMA_SEGMENT_BYTES, area + AOMA_GROUP_BYTES));
    assert_false(aoma_segment_overlaps(area + bytes, area + AOMA_GROUP_BYTES));
    assert_false(aoma_segment_overlaps(area - AOMA_CHUNK_BYTES, area));
}

/* A window that a mapping reaches into can become a segment's for the rest of it. */
TEST(a_region_may_begin_where_an_own_mapping_ends)
{
    uintptr_t area = find_free_area(2 * AOMA_GROUP_BYTES);
    size_t bytes = 2 * AOMA_SEGMENT_BYTES + 3 * AOMA_CHUNK_BYTES;
    bool clean;

    use_up_static_heap();
    aoma_source_enable_mmap();
    aoma_source_set_limit(bytes); /* else it would be whole windows */
    faulty_os.place = area;
    void *block = aoma_mapping_take(bytes, 1, &clean);
    aoma_source_set_limit(SIZE_MAX);
    faulty_os.place = area + bytes;
    CHECK(aoma_os_map(2 * AOMA_CHUNK_BYTES, AOMA_OS_USABLE));
    assert_true(aoma_segment_add_region(area + bytes, area + bytes + 2 * AOMA_CHUNK_BYTES));
    struct aoma_segment *segment = segment_at(area + bytes);
    assert_non_null(segment);
    assert_true(owned(segment) == aoma_chunk_bits(3, 2));
    assert_ptr_equal(take(2, 1), &segment->run[3]);
    aoma_mapping_give(block, aoma_page_map_get(area), GIVER);
    assert_ptr_equal(segment_at(area + bytes), segment);
}

/* ---- numbers ---- */

TEST(numbers_lead_to_segments)
{
    struct aoma_segment *segment = add_group();

    for (unsigned i = 0; i < AOMA_GROUP_SEGMENTS; i++)
        assert_ptr_equal(aoma_segment_by_number(segment->number + i), &segment[i]);
    assert_null(aoma_segment_by_number(segment->number + AOMA_GROUP_SEGMENTS));
    assert_null(aoma_segment_by_number(AOMA_MAX_SEGMENTS - 1));
}

TEST(chunk_bits_are_as_many_as_stated)
{
    for (unsigned first = 0; first < AOMA_SEGMENT_CHUNKS; first++) {
        for (unsigned n = 1; first + n <= AOMA_SEGMENT_CHUNKS; n++) {
            uint64_t bits = aoma_chunk_bits(first, n);
            CHECK(__builtin_popcountll(bits) == (int)n && aoma_lowest_bit(bits) == first);
            CHECK((unsigned)__builtin_clzll(bits) == AOMA_SEGMENT_CHUNKS - first - n);
        }
    }
}

/* ---- what others gave is found although a thread stops ---- */

static struct aoma_segment *shared;
static struct aoma_run *found;

static void take_one(void)
{
    bool clean;

    found = aoma_segment_take(1, 1, &clean);
}

/* One thread has given its chunk and stops before it tells the index; another gives a second one, and that is all. */
static void give_and_stop_then_give(void)
{
    aoma_fetch_clear_full(&shared->taken, 1);
    aoma_segment_give(shared, 1, 1);
}

static void check_that_one_is_found(void)
{
    bool clean;

    CHECK(found || aoma_segment_take(1, 1, &clean));
}

/* The search lowers a bit that is stale when it begins. */
TEST(a_stopped_giver_hides_only_its_own)
{
    bool clean;

    shared = only_group();
    for (unsigned i = 0; i < AOMA_GROUP_SEGMENTS; i++)
        hold_segment(shared + i);
    CHECK(aoma_segment_take(1, 1, &clean) == NULL);
    aoma_segment_give(shared, 5, 1);
    CHECK(aoma_segment_take_at(shared, 5, 1));
    interleave(take_one, give_and_stop_then_give, check_that_one_is_found);
}

static struct aoma_segment *purged;

static void purge_it(void)
{
    (void)aoma_segment_purge(purged);
}

static void check_dirty_sum(void)
{
    CHECK(aoma_idle_dirty_bytes() == AOMA_CHUNK_BYTES); /* the other segment's */
}

TEST(two_purges_of_a_range_count_it_once)
{
    purged = only_group();
    CHECK(aoma_segment_take_at(purged, 3, 1) && aoma_segment_take_at(purged + 1, 3, 1));
    size_t before = aoma_idle_dirty_bytes();
    CHECK(before == 0);
    aoma_segment_give(purged, 3, 1);
    aoma_segment_give(purged + 1, 3, 1);
    interleave(purge_it, purge_it, check_dirty_sum);
}

static uintptr_t second_region;

static void give_chunk_of_first_region(void)
{
    aoma_segment_give(purged, 0, 1);
}

static void add_second_region(void)
{
    CHECK(aoma_segment_add_region(second_region, second_region + AOMA_CHUNK_BYTES));
}

TEST(giving_beside_a_region_that_is_just_added_misses_no_order)
{
    use_up_static_heap();
    uintptr_t area = map_area(AOMA_GROUP_BYTES);
    CHECK(aoma_segment_add_region(area, area + AOMA_CHUNK_BYTES));
    purged = aoma_entry_segment(aoma_page_map_get(area));
    CHECK(purged && aoma_segment_take_at(purged, 0, 1));
    second_region = area + AOMA_CHUNK_BYTES;
    interleave(give_chunk_of_first_region, add_second_region, check_index);
}
