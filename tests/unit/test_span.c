/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

#include "unit.h"
#include "faulty_os.h"
#include "interleave.h"
#include "rng.h"

enum { GROUP_CHUNKS = AOMA_GROUP_SEGMENTS * AOMA_SEGMENT_CHUNKS };

static struct aoma_segment *group;

/* Bits of the group's chunks. */
struct chunks {
    bool is_set[GROUP_CHUNKS];
};

static struct chunks taken_chunks(void)
{
    struct chunks chunks = {{false}};

    for (unsigned i = 0; i < GROUP_CHUNKS; i++)
        chunks.is_set[i] = aoma_load_acquire(&group[i / AOMA_SEGMENT_CHUNKS].taken) >> i % AOMA_SEGMENT_CHUNKS & 1;
    return chunks;
}

static size_t count_taken(void)
{
    struct chunks chunks = taken_chunks();
    size_t count = 0;

    for (unsigned i = 0; i < GROUP_CHUNKS; i++)
        count += chunks.is_set[i];
    return count;
}

static unsigned position_of(const struct aoma_run *run)
{
    return (unsigned)((base_of(run) - group->base) >> AOMA_CHUNK_SHIFT);
}

static struct aoma_run *run_at(unsigned position)
{
    return &group[position / AOMA_SEGMENT_CHUNKS].run[position % AOMA_SEGMENT_CHUNKS];
}

/* The chunks from position on are taken, and no others. */
static void check_taken(unsigned position, size_t n)
{
    struct chunks chunks = taken_chunks();

    for (unsigned i = 0; i < GROUP_CHUNKS; i++)
        CHECK(chunks.is_set[i] == (i >= position && i < position + n));
}

static void hold(unsigned position)
{
    CHECK(aoma_segment_take_at(&group[position / AOMA_SEGMENT_CHUNKS], position % AOMA_SEGMENT_CHUNKS, 1));
}

static void give_span(struct aoma_run *run, size_t n)
{
    aoma_span_give(segment_of(run), chunk_of(run), n);
}

/* ---- parts ---- */

TEST(parts_end_with_their_segment)
{
    for (unsigned first = 0; first < AOMA_SEGMENT_CHUNKS; first++) {
        for (size_t chunks = 1; chunks < (size_t)3 * AOMA_SEGMENT_CHUNKS; chunks++) {
            size_t left = AOMA_SEGMENT_CHUNKS - first;
            CHECK(aoma_span_part(first, chunks) == (chunks < left ? chunks : left));
        }
    }
    assert_int_equal(aoma_span_part(5, SIZE_MAX), AOMA_SEGMENT_CHUNKS - 5);
}

TEST(the_next_segment_is_that_of_the_next_window)
{
    group = only_group();
    for (unsigned i = 0; i + 1 < AOMA_GROUP_SEGMENTS; i++)
        assert_ptr_equal(aoma_span_next_segment(&group[i]), &group[i + 1]);
    assert_null(aoma_span_next_segment(&group[AOMA_GROUP_SEGMENTS - 1]));
}

/* ---- taking and giving ---- */

TEST(spans_of_every_length_are_taken_whole_and_given_whole)
{
    group = only_group();
    for (size_t n = 1; n <= GROUP_CHUNKS; n++) {
        struct aoma_run *run = aoma_span_take(n, 1);
        CHECK(run == run_at(0));
        check_taken(0, n);
        give_span(run, n);
        CHECK(count_taken() == 0);
    }
    check_index();
}

TEST(what_is_longer_than_all_segments_together_takes_nothing)
{
    static const size_t lengths[] = {GROUP_CHUNKS + 1, (size_t)10 * GROUP_CHUNKS, SIZE_MAX >> AOMA_CHUNK_SHIFT};

    group = only_group();
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++)
        assert_null(aoma_span_take(lengths[i], 1));
    assert_int_equal(count_taken(), 0);
    hold(0);
    assert_null(aoma_span_take(GROUP_CHUNKS, 1));
    assert_int_equal(count_taken(), 1);
    assert_int_equal(aoma_idle_dirty_bytes(), 0); /* nothing was taken and given back */
}

/* The part before a chunk in use is too short, wherever that is. */
TEST(a_span_begins_behind_what_is_in_use)
{
    group = only_group();
    for (unsigned used = 0; used + AOMA_SEGMENT_CHUNKS < GROUP_CHUNKS; used++) {
        size_t n = GROUP_CHUNKS - used - 1;
        hold(used);
        CHECK(n <= used || aoma_span_take(n + 1, 1) == NULL);
        struct aoma_run *run = aoma_span_take(n, 1);
        CHECK(run && position_of(run) == (n <= used ? 0 : used + 1));
        CHECK(count_taken() == n + 1);
        give_span(run, n);
        give_span(run_at(used), 1);
    }
    CHECK(count_taken() == 0);
}

TEST(a_hole_between_spans_is_found)
{
    struct rng rng = rng_stream(test_seed(), 1);

    group = only_group();
    for (unsigned round = 0; round < 300; round++) {
        /* At least a segment long, so that it has the end of one. */
        unsigned n = AOMA_SEGMENT_CHUNKS + 1 + (unsigned)rng_below(&rng, GROUP_CHUNKS - AOMA_SEGMENT_CHUNKS - 1);
        unsigned first = (unsigned)rng_below(&rng, GROUP_CHUNKS - n + 1);
        hold_all_chunks();
        give_span(run_at(first), n);
        CHECK(aoma_span_take(n + 1, 1) == NULL);
        CHECK(count_taken() == GROUP_CHUNKS - n);
        CHECK(aoma_span_take(n, 1) == run_at(first));
        CHECK(count_taken() == GROUP_CHUNKS);
        give_span(run_at(0), GROUP_CHUNKS);
    }
}

TEST(spans_are_aligned)
{
    group = only_group();
    hold(0);
    for (size_t align = 1; align <= AOMA_GROUP_BYTES; align *= 2) {
        for (size_t n = 1; n <= (size_t)2 * AOMA_SEGMENT_CHUNKS; n += 31) {
            struct aoma_run *run = aoma_span_take(n, align);
            CHECK(run != NULL || align == AOMA_GROUP_BYTES);
            if (!run)
                continue;
            CHECK(base_of(run) % align == 0);
            CHECK(count_taken() == n + 1);
            give_span(run, n);
        }
    }
    give_span(run_at(0), 1);
    assert_ptr_equal(aoma_span_take(GROUP_CHUNKS, AOMA_GROUP_BYTES), run_at(0));
}

/* No object may reach into a window of which the next part is somebody else's. */
TEST(a_span_ends_where_a_segment_is_not_owned)
{
    uintptr_t area = map_area(AOMA_GROUP_BYTES);
    uintptr_t low = area + 60 * AOMA_CHUNK_BYTES;
    uintptr_t high = area + 2 * AOMA_SEGMENT_BYTES + 3 * AOMA_CHUNK_BYTES;
    enum { CHUNKS = 4 + 64 + 3 };

    use_up_static_heap();
    aoma_source_enable_mmap();
    assert_true(aoma_segment_add_region(low, high));
    assert_null(aoma_span_take(CHUNKS + 1, 1));
    assert_int_equal(base_of(aoma_span_take(CHUNKS, 1)), low);
    assert_null(aoma_span_take(1, 1));
}

TEST(only_so_many_segments_are_looked_at)
{
    group = only_group();
    for (unsigned i = 1; i < 16; i++)
        CHECK(aoma_span_take(GROUP_CHUNKS, 1) && add_group());
    CHECK(aoma_span_take(GROUP_CHUNKS, 1)); /* of the 64th region segment the last */
    add_group();
    assert_null(aoma_span_take(1, 1));
    struct aoma_census census;
    aoma_census_take(&census);
    assert_int_equal(census.chunks_owned - census.chunks_taken, GROUP_CHUNKS);
}

TEST(no_system_call_is_made)
{
    group = only_group();
    unsigned before = faulty_os_calls();
    give_span(aoma_span_take(GROUP_CHUNKS, 1), GROUP_CHUNKS);
    assert_null(aoma_span_take(GROUP_CHUNKS + 1, 1));
    assert_int_equal(faulty_os_calls(), before);
}

/* ---- in the middle of each other ---- */

enum { LONG = GROUP_CHUNKS / 2 + 10 }; /* there is room for one */

static struct aoma_run *first_run, *second_run;

static void take_first(void)
{
    first_run = aoma_span_take(LONG, 1);
}

static void take_second(void)
{
    second_run = aoma_span_take(LONG, 1);
}

static void check_at_most_one(void)
{
    CHECK(!first_run || !second_run);
    CHECK(count_taken() == ((first_run != NULL) + (second_run != NULL)) * (size_t)LONG);
    check_index();
}

TEST(of_two_spans_that_want_the_same_memory_none_is_torn)
{
    group = only_group();
    interleave_sparsely(4, take_first, take_second, check_at_most_one);
}

static bool is_single_taken;

static void take_single(void)
{
    is_single_taken = aoma_segment_take_at(&group[2], 3, 1);
}

static void check_single_and_span(void)
{
    CHECK(count_taken() == (first_run ? (size_t)LONG : 0) + is_single_taken);
    CHECK(first_run || is_single_taken);
    if (first_run && is_single_taken)
        CHECK(position_of(first_run) > 2 * AOMA_SEGMENT_CHUNKS + 3 ||
              position_of(first_run) + LONG <= 2 * AOMA_SEGMENT_CHUNKS + 3);
    check_index();
}

/* What was taken before it is given back. */
TEST(a_chunk_taken_from_the_middle_of_a_span_to_be_leaves_nothing_behind)
{
    group = only_group();
    interleave(take_first, take_single, check_single_and_span);
}

static void give_first(void)
{
    give_span(run_at(0), LONG);
}

static void check_second_or_nothing(void)
{
    CHECK(count_taken() == (second_run ? (size_t)LONG : 0));
    CHECK(second_run || aoma_span_take(GROUP_CHUNKS, 1));
}

TEST(a_span_that_is_being_given_can_be_taken_when_it_is_whole)
{
    group = only_group();
    take_first();
    interleave_sparsely(4, give_first, take_second, check_second_or_nothing);
}
