/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

#include "unit.h"
#include "interleave.h"
#include "faulty_os.h"
#include "rng.h"

#include <string.h>

static void *alloc(size_t bytes, size_t align)
{
    bool clean;

    return aoma_large_alloc(bytes, align, 0, &clean);
}

static size_t chunks_for(size_t bytes)
{
    return bytes ? (bytes + AOMA_CHUNK_BYTES - 1) / AOMA_CHUNK_BYTES : 1;
}

/* A run of whole chunks in one segment. */
static void check_in_segment(void *block, size_t bytes, size_t align)
{
    CHECK(block && (uintptr_t)block % align == 0 && (uintptr_t)block % AOMA_CHUNK_BYTES == 0);
    struct aoma_run *run = run_of(block);
    check_run(run, AOMA_RUN_FULL, AOMA_CLASS_LARGE, 1);
    CHECK(base_of(run) == (uintptr_t)block && chunks_of(run) == chunks_for(bytes));
    CHECK(chunk_of(run) + chunks_of(run) <= AOMA_SEGMENT_CHUNKS);
    uint64_t bits = aoma_chunk_bits(chunk_of(run), (unsigned)chunks_of(run));
    CHECK((aoma_load_acquire(&segment_of(run)->taken) & bits) == bits);
}

/* ---- where objects come from ---- */

TEST(up_to_a_segment_chunks_of_one_segment_serve)
{
    only_group();
    size_t held = chunks_held();
    for (size_t chunks = 1; chunks <= AOMA_SEGMENT_CHUNKS; chunks++) {
        for (size_t align = 1; align <= AOMA_SEGMENT_BYTES; align *= 8) {
            for (size_t less = 0; less < 2; less++) {
                size_t bytes = chunks * AOMA_CHUNK_BYTES - less;
                void *block = alloc(bytes, align);
                check_in_segment(block, bytes, align);
                memset(block, 1, bytes);
                CHECK(checked_census(held).large == 1);
                give(block);
                CHECK(checked_census(held).large == 0);
            }
        }
    }
}

TEST(an_object_of_no_size_has_a_place_of_its_own)
{
    only_group();
    void *one = alloc(0, 64 * KIB), *other = alloc(0, 64 * KIB);

    check_in_segment(one, 0, 64 * KIB);
    check_in_segment(other, 0, 64 * KIB);
    assert_ptr_not_equal(one, other);
}

TEST(above_a_segment_a_mapping_serves)
{
    static const struct {
        size_t bytes, align;
    } requests[] = {
        {AOMA_SEGMENT_BYTES + 1, 1}, {64 * MIB, 1}, {100, 2 * AOMA_SEGMENT_BYTES}, /* no segment is aligned so far */
    };

    only_group();
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        void *block = alloc(requests[i].bytes, requests[i].align);
        assert_non_null(block);
        assert_int_equal((uintptr_t)block % requests[i].align, 0);
        assert_true(aoma_entry_mapping_bytes(aoma_page_map_get((uintptr_t)block)) >= requests[i].bytes);
    }
    checked_census(chunks_held());
}

TEST(without_mmap_adjacent_segments_serve)
{
    only_group();
    aoma_source_set_limit(0);
    bool clean = true;
    void *block = aoma_large_alloc(AOMA_GROUP_BYTES, 1, 0, &clean);

    assert_non_null(block);
    assert_false(clean);
    struct aoma_run *run = run_of(block);
    check_run(run, AOMA_RUN_FULL, AOMA_CLASS_LARGE, 1);
    assert_int_equal(chunks_of(run), AOMA_GROUP_BYTES / AOMA_CHUNK_BYTES);
    assert_null(alloc(1, 1));
    memset(block, 1, AOMA_GROUP_BYTES);
    give(block);
    assert_ptr_equal(alloc(AOMA_SEGMENT_BYTES + 1, AOMA_GROUP_BYTES), block);
}

TEST(the_static_heap_serves_without_system_calls)
{
    void *block = alloc(AOMA_CHUNK_BYTES, 1);
    uintptr_t low, high;

    aoma_source_static_heap(&low, &high);
    assert_in_range((uintptr_t)block, low, high - 1);
    give(block);
    block = alloc(TEST_HEAP_BYTES, 1);
    assert_int_equal((uintptr_t)block, low);
    assert_null(alloc(1, 1));
    give(block);
    assert_null(alloc(TEST_HEAP_BYTES + 1, 1));
    assert_int_equal(faulty_os_calls(), 0);
    assert_int_equal(checked_census(0).chunks_taken, 0);
}

TEST(the_static_heap_is_there_for_the_first_request_of_all)
{
    assert_non_null(alloc(TEST_HEAP_BYTES, 1));
}

TEST(the_heap_grows_for_an_object)
{
    use_up_static_heap();
    assert_null(alloc(AOMA_SEGMENT_BYTES, 1));
    aoma_source_enable_mmap();
    check_in_segment(alloc(AOMA_SEGMENT_BYTES, 1), AOMA_SEGMENT_BYTES, AOMA_SEGMENT_BYTES);
}

/* What is copied and 1/16 of the length, but no more than there is; and only where there is no memory yet. */
TEST(what_will_be_written_is_populated)
{
    static const struct {
        size_t bytes, content, populated;
    } cases[] = {
        {256 * KIB, 1, 16 * KIB + 1},
        {256 * KIB, 128 * KIB, 144 * KIB},
        {256 * KIB, 256 * KIB - 1, 256 * KIB},
        {256 * KIB, 2 * MIB, 256 * KIB},
        {2 * MIB, 512 * KIB, 512 * KIB + 128 * KIB},
        {2 * MIB, 3 * MIB, 2 * MIB},
    };
    bool clean;

    aoma_source_enable_mmap();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        void *block = aoma_large_alloc(cases[i].bytes, 1, cases[i].content, &clean);
        assert_true(clean);
        assert_int_equal(faulty_os.populate_calls, i + 1);
        uintptr_t start = (uintptr_t)block, end = start + cases[i].populated; /* what of it is whole pages */
        assert_int_equal(faulty_os.populated_low, (start + AOMA_PAGE_BYTES - 1) / AOMA_PAGE_BYTES * AOMA_PAGE_BYTES);
        assert_int_equal(faulty_os.populated_high, end / AOMA_PAGE_BYTES * AOMA_PAGE_BYTES);
        assert_true(is_zero((uintptr_t)block, cases[i].bytes));
    }
    unsigned calls = faulty_os.populate_calls;
    void *block = alloc(256 * KIB, 1);
    assert_non_null(alloc(2 * MIB, 1));
    memset(block, 1, 256 * KIB);
    give(block);
    assert_ptr_equal(aoma_large_alloc(256 * KIB, 1, 256 * KIB, &clean), block);
    assert_false(clean);
    assert_int_equal(faulty_os.populate_calls, calls);
}

TEST(memory_said_to_be_clean_is_zero)
{
    struct rng rng = rng_stream(test_seed(), 1);
    unsigned cleans = 0, others = 0;

    only_group();
    for (unsigned round = 0; round < 300; round++) {
        size_t bytes = 1 + rng_below(&rng, AOMA_SEGMENT_BYTES + AOMA_SEGMENT_BYTES / 8);
        bool clean;
        unsigned char *block = aoma_large_alloc(bytes, 1, 0, &clean);
        CHECK(block && (!clean || is_zero((uintptr_t)block, bytes)));
        cleans += clean;
        others += !clean;
        memset(block, 0xff, bytes);
        uintptr_t entry = aoma_page_map_get((uintptr_t)block);
        if (!aoma_entry_is_segment(entry))
            aoma_mapping_give(block, entry, GIVER);
        else if (rng_below(&rng, 10))
            give(block);
        if (round % 50 == 0)
            add_group();
    }
    assert_true(cleans > 0 && others > 0);
}

/* ---- refusals ---- */

TEST(whichever_mapping_is_refused_nothing_is_lost)
{
    static const size_t lengths[] = {AOMA_CHUNK_BYTES, AOMA_SEGMENT_BYTES, AOMA_SEGMENT_BYTES + 1, 8 * MIB};

    use_up_static_heap();
    aoma_source_enable_mmap();
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        for (unsigned allowed = 0; allowed < 8; allowed++) {
            hold_all_chunks(); /* so that the heap must grow */
            size_t held = chunks_held();
            faulty_os.maps_left = allowed;
            size_t mapped = aoma_source_mapped_bytes();
            void *block = alloc(lengths[i], 1);
            faulty_os.maps_left = FAULTY_OS_NEVER;
            CHECK(block || aoma_source_mapped_bytes() == mapped);
            CHECK(checked_census(held).large == (block && lengths[i] <= AOMA_SEGMENT_BYTES));
            if (block && lengths[i] <= AOMA_SEGMENT_BYTES)
                give(block);
        }
    }
}

/* Where addresses have 32 bits, they are enough for the largest request, unless others have some of them. */
static void take_addresses(void)
{
    while (SIZE_BITS == 32 && aoma_source_reserve(256 * MIB, AOMA_PAGE_BYTES))
        ;
}

TEST(what_is_too_much_is_refused)
{
    only_group();
    take_addresses();
    size_t held = chunks_held(), mapped = aoma_source_mapped_bytes();

    assert_null(alloc(AOMA_MAX_REQUEST_BYTES, 1));
    assert_null(alloc(1, SIZE_MAX / 4 + 1));
    assert_int_equal(checked_census(held).chunks_in_runs, 0);
    assert_int_equal(aoma_source_mapped_bytes(), mapped);
}

/* ---- resizing ---- */

TEST(an_object_grows_and_shrinks_where_it_is)
{
    struct rng rng = rng_stream(test_seed(), 2);

    only_group();
    size_t held = chunks_held();
    void *block = alloc(1, 1);
    for (unsigned round = 0; round < 300; round++) {
        size_t bytes = 1 + rng_below(&rng, AOMA_SEGMENT_BYTES);
        CHECK(aoma_large_resize(run_of(block), bytes));
        check_in_segment(block, bytes, 1);
        CHECK(checked_census(held).chunks_in_runs == chunks_for(bytes));
    }
    give(block);
    CHECK(checked_census(held).chunks_in_runs == 0);
}

TEST(growing_ends_at_a_neighbour_and_at_the_segments_end)
{
    struct aoma_segment *segment = only_group();
    void *block = alloc(4 * AOMA_CHUNK_BYTES, 1), *neighbour = alloc(AOMA_CHUNK_BYTES, 1);
    struct aoma_run *run = run_of(block);

    assert_ptr_equal(run, &segment->run[0]);
    assert_ptr_equal(run_of(neighbour), &segment->run[4]);
    assert_false(aoma_large_resize(run, 4 * AOMA_CHUNK_BYTES + 1));
    check_in_segment(block, 4 * AOMA_CHUNK_BYTES, 1);
    assert_true(aoma_large_resize(run, 3 * AOMA_CHUNK_BYTES + 1)); /* of the same chunks */
    assert_true(aoma_large_resize(run_of(neighbour), 60 * AOMA_CHUNK_BYTES));
    assert_false(aoma_large_resize(run_of(neighbour), 60 * AOMA_CHUNK_BYTES + 1));
    assert_true(aoma_load_acquire(&segment[1].taken) == 0);
    give(neighbour);
    assert_true(aoma_large_resize(run, AOMA_SEGMENT_BYTES));
    assert_false(aoma_large_resize(run, AOMA_SEGMENT_BYTES + 1));
}

TEST(an_object_of_several_segments_stays_as_it_is)
{
    only_group();
    aoma_source_set_limit(0);
    void *block = alloc(3 * AOMA_SEGMENT_BYTES, 1);
    struct aoma_run *run = run_of(block);

    assert_true(aoma_large_resize(run, 3 * AOMA_SEGMENT_BYTES - 1));
    assert_false(aoma_large_resize(run, 3 * AOMA_SEGMENT_BYTES + 1));
    assert_false(aoma_large_resize(run, 2 * AOMA_SEGMENT_BYTES));
    assert_false(aoma_large_resize(run, 1));
    assert_int_equal(chunks_of(run), 3 * AOMA_SEGMENT_CHUNKS);
    give(block);
    checked_census(chunks_held());
}

/* ---- two at the limit, which admits one more group with room for both ---- */

/* While one is mapping the group the other may find nothing; but who does not find it any more finds room in it. */

static void *first_large;

static void alloc_first_large(void)
{
    bool clean;
    first_large = aoma_large_alloc((size_t)200 * 1024, 1, 0, &clean);
}

static void alloc_second_large(void)
{
    bool clean;
    (void)aoma_large_alloc((size_t)200 * 1024, 1, 0, &clean);
}

static void check_both_large(void)
{
    CHECK(first_large);
}

TEST(who_was_beaten_to_the_last_group_gets_memory_from_it)
{
    (void)add_group(); /* so that page map and bank are there */
    hold_all_chunks();
    aoma_source_set_limit(aoma_source_mapped_bytes() + AOMA_GROUP_BYTES);
    interleave(alloc_first_large, alloc_second_large, check_both_large);
}
