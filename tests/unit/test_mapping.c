/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

#include "unit.h"
#include "faulty_os.h"
#include "interleave.h"
#include "process.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define INSIDE "not a block: inside a large one"
#define GONE "not in use: freed already or resized by another thread"

/* Whole windows, and small enough for the share of memory that may lie idle. */
#define WINDOW AOMA_SEGMENT_BYTES
#define BYTES (3 * WINDOW)

static uintptr_t entry_of(const void *block)
{
    return aoma_page_map_get((uintptr_t)block);
}

static size_t round_to_windows(size_t bytes)
{
    return (bytes + WINDOW - 1) / WINDOW * WINDOW;
}

static void *take(size_t bytes)
{
    bool clean;
    void *block = aoma_mapping_take(bytes, 1, &clean);

    CHECK(block);
    return block;
}

static void give_mapping(void *block)
{
    aoma_mapping_give(block, entry_of(block), GIVER);
}

static void *resize(void *block, size_t bytes)
{
    return aoma_mapping_resize(block, entry_of(block), bytes, GIVER);
}

/* What the page map says of a block's range, and nothing behind it. */
static void check_entries(const void *block, size_t bytes)
{
    uintptr_t low = (uintptr_t)block, window = low + AOMA_SEGMENT_BYTES;

    CHECK(aoma_entry_mapping_bytes(aoma_page_map_get(low)) == bytes);
    for (; window < low + bytes; window += AOMA_SEGMENT_BYTES)
        CHECK(aoma_page_map_get(window) == AOMA_ENTRY_INTERIOR);
    CHECK(aoma_page_map_get(window) == 0);
}

static void check_no_entries(uintptr_t low, size_t bytes)
{
    for (uintptr_t window = low; window < low + bytes; window += AOMA_SEGMENT_BYTES)
        CHECK(aoma_page_map_get(window) == 0);
}

static void fill(void *block, size_t bytes, int value)
{
    memset(block, value, bytes);
}

static bool is_filled(const void *block, size_t bytes, int value)
{
    const unsigned char *first = block;

    return first[0] == value && memcmp(first, first + 1, bytes - 1) == 0;
}

/* ---- taking ---- */

static void check_taken(size_t bytes, size_t align)
{
    size_t expected = round_to_windows(bytes);
    bool clean;

    void *block = aoma_mapping_take(bytes, align, &clean);
    CHECK(block && clean);
    CHECK((uintptr_t)block % AOMA_SEGMENT_BYTES == 0 && (uintptr_t)block % align == 0);
    CHECK(bytes <= AOMA_KEPT_LONGEST_BYTES || (uintptr_t)block % AOMA_GROUP_BYTES == 0);
    CHECK(is_zero((uintptr_t)block, bytes));
    check_entries(block, expected);
    CHECK(aoma_mapping_bytes(block, entry_of(block), GIVER) == expected);
    CHECK(aoma_source_mapped_bytes() == expected);
    fill(block, bytes, 1);
    give_mapping(block);
    check_no_entries((uintptr_t)block, bytes);
    aoma_mapping_flush();
    CHECK(aoma_source_mapped_bytes() == 0);
}

TEST(a_mapping_of_any_length_and_alignment_is_entered_whole)
{
    static const size_t lengths[] = {
        1,
        AOMA_SEGMENT_BYTES - 1,
        AOMA_SEGMENT_BYTES,
        AOMA_SEGMENT_BYTES + 1,
        2 * AOMA_SEGMENT_BYTES,
        AOMA_GROUP_BYTES - 1,
        AOMA_GROUP_BYTES,
        AOMA_GROUP_BYTES + 1,
        5 * AOMA_GROUP_BYTES + 12345,
        AOMA_KEPT_LONGEST_BYTES + 1,
    };

    aoma_source_enable_mmap();
    for (size_t align = 1; align <= 4 * AOMA_GROUP_BYTES; align *= 4) {
        for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++)
            check_taken(lengths[i], align);
    }
}

TEST(without_mmap_there_is_none)
{
    bool clean;

    assert_null(aoma_mapping_take(BYTES, 1, &clean));
    assert_int_equal(faulty_os_calls(), 0);
}

/* The static leaves serve addresses where nothing is mapped. */
static void use_up_static_leaves(void)
{
    uintptr_t leaf = (uintptr_t)1 << (AOMA_SEGMENT_SHIFT + AOMA_PAGE_MAP_LEAF_BITS);

    for (unsigned i = 0; i < AOMA_PAGE_MAP_LEAVES_STATIC; i++)
        CHECK(aoma_page_map_reserve(i * leaf, i * leaf + 1, NULL));
}

TEST(whichever_mapping_is_refused_taking_loses_nothing)
{
    unsigned refused = 0;
    bool clean;

    use_up_static_leaves();
    uintptr_t place = find_free_area(AOMA_GROUP_BYTES);
    aoma_source_enable_mmap();
    void *block = NULL;
    while (!block) {
        faulty_os.maps_left = refused;
        faulty_os.place = place;
        block = aoma_mapping_take(BYTES, 1, &clean);
        if (block)
            break;
        CHECK(aoma_source_mapped_bytes() == 0);
        CHECK(aoma_page_map_get(place) == 0);
        refused++;
    }
    assert_int_equal(refused, 2); /* the mapping, and the leaf */
    check_entries(block, BYTES);
}

/* Only so many bytes can be had, at this place. */
static void *take_at_the_limit(size_t bytes, uintptr_t place)
{
    aoma_source_set_limit(aoma_source_mapped_bytes() + bytes);
    faulty_os.place = place;
    void *block = take(bytes);
    aoma_source_set_limit(SIZE_MAX);
    return block;
}

TEST(where_no_window_is_to_be_had_pages_serve)
{
    size_t bytes = BYTES - WINDOW + AOMA_PAGE_BYTES;
    bool clean;

    aoma_source_enable_mmap();
    aoma_source_set_limit(bytes);
    void *block = aoma_mapping_take(bytes - 1, 1, &clean);
    assert_true(block && clean);
    check_entries(block, bytes);
    assert_int_equal(aoma_source_mapped_bytes(), bytes);
    fill(block, bytes, 1);
    aoma_source_set_limit(bytes + AOMA_PAGE_BYTES);
    assert_non_null(block = resize(block, bytes + 1)); /* not even a window can be added */
    check_entries(block, bytes + AOMA_PAGE_BYTES);
    assert_null(resize(block, bytes + AOMA_PAGE_BYTES + 1));
    check_entries(block, bytes + AOMA_PAGE_BYTES);
    assert_true(is_filled(block, bytes, 1));
    give_mapping(block);
    assert_ptr_equal(aoma_mapping_take(WINDOW + 1, 1, &clean), block); /* the rest of it is too short to stand alone */
    check_entries(block, bytes + AOMA_PAGE_BYTES);
}

TEST(the_limit_holds_for_mappings)
{
    bool clean;

    aoma_source_enable_mmap();
    aoma_source_set_limit(2 * BYTES - 1);
    void *block = take(BYTES);
    assert_null(aoma_mapping_take(BYTES, 1, &clean));
    assert_null(aoma_mapping_take(SIZE_MAX / 2, 1, &clean));
    assert_int_equal(aoma_source_mapped_bytes(), BYTES);
    assert_null(resize(block, 2 * BYTES));
    check_entries(block, BYTES);
    assert_int_equal(aoma_source_mapped_bytes(), BYTES);
}

/* A window that is a segment's cannot be a mapping's, too; this one's memory was taken away behind the heap's back. */
TEST(a_mapping_does_not_begin_in_a_segments_window)
{
    uintptr_t area = map_area(AOMA_SEGMENT_BYTES);
    bool clean;

    aoma_source_enable_mmap();
    assert_true(aoma_segment_add_region(area, area + AOMA_SEGMENT_BYTES));
    uintptr_t entry = aoma_page_map_get(area);
    size_t mapped = aoma_source_mapped_bytes();
    aoma_os_unmap((void *)area, AOMA_SEGMENT_BYTES);
    faulty_os.place = area;
    assert_null(aoma_mapping_take(AOMA_SEGMENT_BYTES, 1, &clean));
    assert_true(aoma_page_map_get(area) == entry);
    assert_int_equal(aoma_source_mapped_bytes(), mapped);
}

/* ---- misuse ---- */

static uintptr_t stale_entry;

static void give_with_stale_entry(void *block)
{
    aoma_mapping_give(block, stale_entry, GIVER);
}

static void resize_with_stale_entry(void *block)
{
    aoma_mapping_resize(block, stale_entry, 2 * BYTES, GIVER);
}

static void give_by_map(void *block)
{
    give_mapping(block);
}

static void ask_bytes(void *block)
{
    aoma_mapping_bytes(block, entry_of(block), GIVER);
}

static void assert_misuse(void (*run)(void *), void *block, const char *fault)
{
    char line[160];

    snprintf(line, sizeof line, "aomalloc: " GIVER "(0x%" PRIxPTR "): %s", (uintptr_t)block, fault);
    assert_aborts(run, block, line);
}

/* Who has read the entry before another thread's free or resize. */
TEST(of_two_who_free_or_resize_the_second_aborts)
{
    aoma_source_enable_mmap();
    char *block = take(BYTES);
    stale_entry = entry_of(block);
    give_mapping(block);
    assert_misuse(give_with_stale_entry, block, GONE);
    assert_misuse(resize_with_stale_entry, block, GONE);

    block = take(BYTES);
    stale_entry = entry_of(block);
    assert_ptr_equal(resize(block, BYTES - WINDOW), block);
    assert_misuse(give_with_stale_entry, block, GONE);
}

TEST(pointers_into_a_mapping_are_no_blocks)
{
    aoma_source_enable_mmap();
    char *block = take(2 * BYTES);
    static const size_t offsets[] = {16, AOMA_PAGE_BYTES, AOMA_SEGMENT_BYTES, AOMA_SEGMENT_BYTES + 16, BYTES};

    for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
        assert_misuse(give_by_map, block + offsets[i], INSIDE);
        assert_misuse(ask_bytes, block + offsets[i], INSIDE);
    }
    check_entries(block, 2 * BYTES);
}

/* ---- freed ones (what is kept, and how, is test_kept.c's) ---- */

TEST(a_freed_mapping_is_used_again)
{
    bool clean;

    aoma_source_enable_mmap();
    void *block = take(BYTES);
    unsigned calls = faulty_os_calls();
    fill(block, BYTES, 7);
    assert_int_equal(aoma_kept_use_bytes(), BYTES);
    give_mapping(block);
    assert_int_equal(aoma_kept_bytes(), BYTES);
    assert_int_equal(aoma_kept_use_bytes(), 0);
    assert_int_equal(aoma_source_mapped_bytes(), BYTES);
    assert_ptr_equal(aoma_mapping_take(BYTES, 1, &clean), block);
    assert_false(clean);
    assert_int_equal(aoma_kept_bytes(), 0);
    assert_int_equal(aoma_kept_use_bytes(), BYTES);
    assert_int_equal(faulty_os_calls(), calls);
    check_entries(block, BYTES);
}

TEST(a_freed_mapping_serves_shorter_ones_side_by_side)
{
    aoma_source_enable_mmap();
    char *block = take(6 * WINDOW);
    unsigned calls = faulty_os_calls();

    give_mapping(block);
    char *first = take(2 * WINDOW - 1), *second = take(3 * WINDOW), *third = take(1);
    assert_ptr_equal(first, block);
    assert_ptr_equal(second, block + 2 * WINDOW);
    assert_ptr_equal(third, block + 5 * WINDOW);
    assert_int_equal(entry_of(third + WINDOW), 0);
    assert_int_equal(aoma_entry_mapping_bytes(entry_of(first)), 2 * WINDOW);
    assert_int_equal(aoma_entry_mapping_bytes(entry_of(second)), 3 * WINDOW);
    assert_misuse(give_by_map, second + WINDOW, INSIDE);
    give_mapping(second);
    check_no_entries((uintptr_t)second, 3 * WINDOW);
    give_mapping(first);
    give_mapping(third);
    assert_ptr_equal(take(6 * WINDOW), block);
    check_entries(block, 6 * WINDOW);
    assert_int_equal(faulty_os_calls(), calls);
}

/* How a freed one of 2 windows becomes one of 4. Its content is what tells. */
static void check_lengthened(struct faulty_os refusals, bool expected, bool expected_in_place)
{
    bool clean;
    faulty_os.place = find_free_area(2 * AOMA_GROUP_BYTES);
    void *block = take(2 * WINDOW);

    fill(block, 2 * WINDOW, 7);
    give_mapping(block);
    faulty_os.resizes_left = refusals.resizes_left;
    faulty_os.moves_left = refusals.moves_left;
    faulty_os.maps_left = refusals.maps_left;
    char *longer = aoma_mapping_take(4 * WINDOW, 1, &clean);
    faulty_os.resizes_left = faulty_os.moves_left = faulty_os.maps_left = FAULTY_OS_NEVER;
    CHECK(longer || refusals.maps_left != FAULTY_OS_NEVER);
    CHECK(aoma_kept_bytes() == 0 && aoma_source_mapped_bytes() == (longer ? 4 * WINDOW : 0));
    if (longer) {
        CHECK(clean == !expected && (longer == block) == expected_in_place);
        CHECK(is_filled(longer, 2 * WINDOW, expected ? 7 : 0) && is_zero((uintptr_t)longer + 2 * WINDOW, 2 * WINDOW));
        check_entries(longer, 4 * WINDOW);
        give_mapping(longer);
    }
    aoma_mapping_flush();
    CHECK(aoma_source_mapped_bytes() == 0 && aoma_kept_use_bytes() == 0);
}

#define REFUSALS(resizes, moves, maps)                                                                                 \
    (struct faulty_os)                                                                                                 \
    {                                                                                                                  \
        .resizes_left = (resizes), .moves_left = (moves), .maps_left = (maps)                                          \
    }

TEST(a_freed_mapping_that_is_too_short_is_lengthened)
{
    test_require_mremap();
    aoma_source_enable_mmap();
    check_lengthened(REFUSALS(FAULTY_OS_NEVER, FAULTY_OS_NEVER, FAULTY_OS_NEVER), true, true);
    check_lengthened(REFUSALS(0, FAULTY_OS_NEVER, FAULTY_OS_NEVER), true, false);
}

TEST(where_it_cannot_be_it_makes_room_for_a_new_one)
{
    aoma_source_enable_mmap();
    check_lengthened(REFUSALS(0, 0, FAULTY_OS_NEVER), false, false);
    check_lengthened(REFUSALS(0, 0, 0), false, false);
    check_lengthened(REFUSALS(0, 0, 1), false, false); /* the place to move to, and then no more */
}

TEST(less_than_half_is_not_lengthened)
{
    aoma_source_enable_mmap();
    aoma_source_map(64 * MIB, AOMA_PAGE_BYTES); /* the share grows with it */
    void *block = take(3 * WINDOW), *more = take(10 * WINDOW);
    fill(block, 3 * WINDOW, 7);
    give_mapping(block);
    assert_ptr_not_equal(take(7 * WINDOW), block);
    assert_int_equal(aoma_kept_bytes(), 3 * WINDOW); /* nor did it have to give way, beside 10 and more in use */
    give_mapping(more);
}

TEST(at_the_limit_what_is_kept_makes_room)
{
    bool clean;

    aoma_source_enable_mmap();
    void *block = take(2 * WINDOW);
    aoma_source_set_limit(7 * WINDOW);
    give_mapping(block);
    assert_non_null(aoma_mapping_take(7 * WINDOW, 1, &clean));
    assert_int_equal(aoma_source_mapped_bytes(), 7 * WINDOW);
}

TEST(a_freed_mapping_must_be_aligned_as_asked)
{
    bool clean;

    aoma_source_enable_mmap();
    faulty_os.place = find_free_area(2 * AOMA_GROUP_BYTES) + WINDOW;
    void *block = take(BYTES);
    take(2 * BYTES); /* beside which it may stay */
    give_mapping(block);
    void *aligned = aoma_mapping_take(BYTES, AOMA_GROUP_BYTES, &clean);
    assert_int_equal((uintptr_t)aligned % AOMA_GROUP_BYTES, 0);
    assert_true(clean);
    assert_ptr_equal(aoma_mapping_take(BYTES, WINDOW, &clean), block);
}

/* All freed: what is still mapped. */
static size_t left_of(size_t bytes, unsigned count)
{
    void *blocks[64];

    CHECK(count <= 64);
    for (unsigned i = 0; i < count; i++)
        blocks[i] = take(bytes);
    for (unsigned i = 0; i < count; i++)
        give_mapping(blocks[i]);
    CHECK(aoma_source_mapped_bytes() == aoma_kept_bytes() && aoma_kept_use_bytes() == 0);
    return aoma_kept_bytes();
}

TEST(of_what_is_not_in_use_as_much_is_kept_as_may_lie_idle)
{
    aoma_source_enable_mmap();
    size_t kept = left_of(MIB, 40);

    assert_in_range(kept, 4 * MIB - WINDOW, 4 * MIB + WINDOW);
    assert_int_equal(aoma_mapping_flush(), kept);
    assert_in_range(left_of(20 * MIB, 1), 4 * MIB, 6 * MIB);
    aoma_mapping_flush();
    assert_int_equal(left_of(AOMA_KEPT_LONGEST_BYTES + 1, 2), 0);
}

TEST(dirty_chunks_leave_less_for_mappings)
{
    aoma_source_enable_mmap();
    aoma_idle_count_dirty(3 * MIB, 0);
    assert_in_range(left_of(MIB, 40), WINDOW, MIB + WINDOW);
    aoma_mapping_flush();
    aoma_idle_count_dirty(3 * MIB, 0);
    assert_int_equal(left_of(MIB, 40), 0);
}

static void *block_given;

static void give_it(void)
{
    give_mapping(block_given);
}

/* Who gave it has died there. What was lost with it may not count for good: each free would give memory back. */
static void others_go_on(void)
{
    enum { ROUNDS = 400 };

    give_mapping(take(MIB));
    unsigned before = faulty_os.unmap_calls;
    for (unsigned i = 0; i < ROUNDS; i++)
        give_mapping(take(MIB));
    CHECK(faulty_os.unmap_calls - before < ROUNDS / 10);
    _exit(EXIT_SUCCESS);
}

TEST(others_keep_memory_when_one_has_died_who_gave_some)
{
    aoma_source_enable_mmap();
    block_given = take(30 * MIB);
    interleave_sparsely(10, give_it, others_go_on, others_go_on);
}

/* As much as is in use may be kept, whatever else is idle. */
TEST(as_much_is_kept_as_is_in_use)
{
    void *blocks[32];

    aoma_source_enable_mmap();
    for (unsigned i = 0; i < 32; i++)
        blocks[i] = take(MIB);
    aoma_idle_count_dirty(100 * MIB, 0);
    for (unsigned i = 0; i < 16; i++)
        give_mapping(blocks[i]);
    assert_int_equal(aoma_kept_bytes(), 16 * MIB);
    give_mapping(blocks[16]);
    assert_in_range(aoma_kept_bytes(), 14 * MIB, 15 * MIB);
    for (unsigned i = 17; i < 32; i++)
        give_mapping(blocks[i]);
    assert_int_equal(aoma_kept_bytes(), 0);
}

static void *taken[2];

static void take_first(void)
{
    taken[0] = take(WINDOW);
}

static void take_second(void)
{
    taken[1] = take(WINDOW);
}

static void check_different_mappings(void)
{
    CHECK(taken[0] != taken[1]);
    check_entries(taken[0], WINDOW);
    check_entries(taken[1], WINDOW);
    CHECK(aoma_source_mapped_bytes() == 2 * WINDOW);
    CHECK(aoma_kept_bytes() == 0 && aoma_kept_use_bytes() == 2 * WINDOW);
}

/* Far apart, so that no window is shared. */
static void *take_at(uintptr_t place)
{
    faulty_os.place = place;
    return take(WINDOW);
}

TEST(a_kept_mapping_is_given_to_one_of_two)
{
    aoma_source_enable_mmap();
    give_mapping(take_at(find_free_area(AOMA_GROUP_BYTES)));
    interleave_sparsely(4, take_first, take_second, check_different_mappings);
}

static void give_first(void)
{
    give_mapping(taken[0]);
}

static void give_second(void)
{
    give_mapping(taken[1]);
}

static void check_both_are_kept(void)
{
    check_no_entries((uintptr_t)taken[0], WINDOW);
    check_no_entries((uintptr_t)taken[1], WINDOW);
    CHECK(aoma_kept_bytes() == 2 * WINDOW && aoma_kept_use_bytes() == 0);
    CHECK(aoma_mapping_flush() == 2 * WINDOW);
    CHECK(aoma_source_mapped_bytes() == 0 && aoma_kept_bytes() == 0);
}

TEST(two_that_are_freed_at_once_are_both_kept)
{
    uintptr_t area = find_free_area(2 * AOMA_GROUP_BYTES);

    aoma_source_enable_mmap();
    taken[0] = take_at(area);
    taken[1] = take_at(area + AOMA_GROUP_BYTES);
    interleave_sparsely(8, give_first, give_second, check_both_are_kept);
}

TEST(two_neighbours_that_are_freed_at_once_are_both_kept)
{
    uintptr_t area = find_free_area(2 * AOMA_GROUP_BYTES);

    aoma_source_enable_mmap();
    taken[0] = take_at(area);
    taken[1] = take_at(area + WINDOW);
    interleave_sparsely(8, give_first, give_second, check_both_are_kept);
}

static size_t flushed[2];

static void flush_first(void)
{
    flushed[0] = aoma_mapping_flush();
}

static void flush_second(void)
{
    flushed[1] = aoma_mapping_flush();
}

static void check_flushed_once(void)
{
    CHECK(flushed[0] + flushed[1] == WINDOW);
    CHECK(aoma_source_mapped_bytes() == 0 && aoma_kept_bytes() == 0);
}

TEST(a_kept_mapping_is_flushed_once)
{
    aoma_source_enable_mmap();
    give_mapping(take_at(find_free_area(AOMA_GROUP_BYTES)));
    interleave_sparsely(8, flush_first, flush_second, check_flushed_once);
}

/* One lengthens what is kept while the other wants it as it is. */
static void take_longer(void)
{
    taken[0] = take(2 * WINDOW);
}

static void check_longer_and_short(void)
{
    check_entries(taken[0], 2 * WINDOW);
    check_entries(taken[1], WINDOW);
    fill(taken[0], 2 * WINDOW, 1);
    fill(taken[1], WINDOW, 2);
    CHECK(is_filled(taken[0], 2 * WINDOW, 1));
    CHECK(aoma_source_mapped_bytes() == aoma_kept_use_bytes() + aoma_kept_bytes());
}

TEST(what_is_lengthened_is_no_one_elses)
{
    aoma_source_enable_mmap();
    give_mapping(take_at(find_free_area(AOMA_GROUP_BYTES)));
    interleave_sparsely(16, take_longer, take_second, check_longer_and_short);
}

/* ---- resizing ---- */

/* With free address space behind it, or none. */
static void *take_with_room(size_t bytes, size_t room)
{
    uintptr_t area = find_free_area(bytes + room + AOMA_GROUP_BYTES);

    faulty_os.place = area;
    void *block = take(bytes);
    CHECK((uintptr_t)block == area);
    fill(block, bytes, 0x33);
    return block;
}

static void block_growth(void *block, size_t bytes)
{
    faulty_os.place = (uintptr_t)block + bytes;
    CHECK(aoma_os_map(AOMA_PAGE_BYTES, AOMA_OS_USABLE));
}

TEST(a_mapping_grows_and_shrinks_where_it_is)
{
    static const size_t lengths[] = {
        BYTES + 1, 2 * BYTES, 8 * BYTES, 8 * BYTES - 1, 3 * BYTES, WINDOW + 1, BYTES,
    };

    aoma_source_enable_mmap();
    void *block = take_with_room(BYTES, 16 * BYTES);
    size_t whole = BYTES;
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        size_t bytes = round_to_windows(lengths[i]);
        assert_ptr_equal(resize(block, lengths[i]), block);
        check_entries(block, bytes);
        whole = bytes < whole ? bytes : whole;
        assert_true(is_filled(block, whole, 0x33));
        assert_int_equal(aoma_source_mapped_bytes(), bytes);
        assert_int_equal(aoma_kept_use_bytes(), bytes);
    }
    check_no_entries((uintptr_t)block + AOMA_GROUP_BYTES, 8 * BYTES);
    assert_int_equal(faulty_os.move_calls, 0);
}

TEST(resizing_to_the_same_length_is_no_system_call)
{
    aoma_source_enable_mmap();
    void *block = take_with_room(BYTES, 0);
    unsigned calls = faulty_os_calls();

    assert_ptr_equal(resize(block, BYTES), block);
    assert_ptr_equal(resize(block, BYTES - 1), block);
    assert_ptr_equal(resize(block, BYTES - WINDOW + 1), block);
    assert_int_equal(faulty_os_calls(), calls);
    check_entries(block, BYTES);
}

TEST(a_mapping_that_cannot_grow_moves_with_its_content)
{
    aoma_source_enable_mmap();
    void *block = take_with_room(BYTES, 0);

    block_growth(block, BYTES);
    char *moved = resize(block, 3 * AOMA_GROUP_BYTES);
    assert_non_null(moved);
    assert_ptr_not_equal(moved, block);
    assert_int_equal((uintptr_t)moved % WINDOW, 0);
    assert_true(is_filled(moved, BYTES, 0x33));
    assert_true(is_zero((uintptr_t)moved + BYTES, 3 * AOMA_GROUP_BYTES - BYTES));
    check_entries(moved, 3 * AOMA_GROUP_BYTES);
    check_no_entries((uintptr_t)block, BYTES);
    assert_int_equal(aoma_source_mapped_bytes(), 3 * AOMA_GROUP_BYTES);
}

static void check_populated(const void *low, size_t bytes)
{
    CHECK(faulty_os.populated_low == (uintptr_t)low && faulty_os.populated_high == (uintptr_t)low + bytes);
}

/* Where it is and elsewhere: 1/16 of it, but no more than there is of new memory, nor than 1 MiB. */
TEST(a_mapping_that_grows_is_populated_a_little_ahead)
{
    const size_t length = 32 * WINDOW;

    aoma_source_enable_mmap();
    char *block = take_with_room(BYTES, 2 * length);
    assert_ptr_equal(resize(block, length), block);
    check_populated(block + BYTES, 2 * WINDOW);
    assert_ptr_equal(resize(block, length + WINDOW), block);
    check_populated(block + length, WINDOW);
    unsigned calls = faulty_os.populate_calls;
    assert_ptr_equal(resize(block, BYTES), block);
    assert_int_equal(faulty_os.populate_calls, calls);
    assert_ptr_equal(resize(block, 2 * length), block);
    check_populated(block + BYTES, MIB);
    assert_ptr_equal(resize(block, BYTES), block);
    block_growth(block, BYTES);
    char *moved = resize(block, 16 * WINDOW);
    assert_ptr_not_equal(moved, block);
    check_populated(moved + BYTES, WINDOW);
}

TEST(a_mapping_keeps_a_window_at_least)
{
    aoma_source_enable_mmap();
    void *block = take_with_room(BYTES, 0);

    assert_ptr_equal(resize(block, WINDOW / 2), block);
    check_entries(block, WINDOW);
    assert_int_equal(aoma_source_mapped_bytes(), WINDOW);
    assert_true(is_filled(block, WINDOW, 0x33));
    assert_ptr_equal(resize(block, WINDOW / 2 + 1), block);
    check_entries(block, WINDOW);
    give_mapping(block);
    assert_int_equal(aoma_kept_use_bytes(), 0);
}

struct refusals {
    unsigned resizes, maps, moves;
};

static void check_resize_refused(struct refusals left)
{
    void *block = take_with_room(BYTES, 0);

    block_growth(block, BYTES);
    size_t mapped = aoma_source_mapped_bytes(), of_process = process_mapped_bytes();
    faulty_os.resizes_left = left.resizes;
    faulty_os.maps_left = left.maps;
    faulty_os.moves_left = left.moves;
    CHECK(resize(block, 3 * BYTES) == NULL);
    faulty_os.resizes_left = faulty_os.maps_left = faulty_os.moves_left = FAULTY_OS_NEVER;
    CHECK(aoma_source_mapped_bytes() == mapped);
    CHECK(test_instrumented() || process_mapped_bytes() == of_process); /* no reservation stays */
    check_entries(block, BYTES);
    CHECK(is_filled(block, BYTES, 0x33));
    CHECK(resize(block, 3 * BYTES) != NULL);
}

TEST(whichever_call_is_refused_resizing_changes_nothing)
{
    static const struct refusals refusals[] = {
        {0, 0, 0},
        {FAULTY_OS_NEVER, 0, FAULTY_OS_NEVER},
        {FAULTY_OS_NEVER, FAULTY_OS_NEVER, 0},
    };

    aoma_source_enable_mmap();
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++)
        check_resize_refused(refusals[i]);
}

/* Shrinking is refused, too: then the block is as long as before. */
TEST(a_refused_shrinking_changes_nothing)
{
    aoma_source_enable_mmap();
    void *block = take_with_room(2 * BYTES, 0);

    faulty_os.resizes_left = 0; /* and it is not moved: that is for growing */
    assert_null(resize(block, BYTES));
    assert_int_equal(faulty_os.move_calls, 0);
    check_entries(block, 2 * BYTES);
    assert_int_equal(aoma_source_mapped_bytes(), 2 * BYTES);
}

/* Leaves of the page map are never given back: those of 64 TiB take a GiB. */
TEST(a_length_that_the_kernel_does_not_give_maps_nothing)
{
#if UINTPTR_MAX > UINT32_MAX
    const size_t too_much = (size_t)1 << 46;

    aoma_source_enable_mmap();
    if (aoma_os_map(too_much, AOMA_OS_USABLE))
        test_skip("the kernel gives memory that there is not");
    void *block = take_with_room(BYTES, 0);
    assert_null(resize(block, too_much));
    check_entries(block, BYTES);
    assert_int_equal(aoma_source_mapped_bytes(), BYTES);
#else
    test_skip("no length is that large");
#endif
}

/* The last window of a mapping may be a segment's, beyond the mapping's end. */
TEST(a_segment_behind_a_mapping_keeps_its_entry)
{
    aoma_source_enable_mmap();
    uintptr_t area = find_free_area(2 * AOMA_GROUP_BYTES), end = area + BYTES + 3 * AOMA_CHUNK_BYTES;
    void *block = take_at_the_limit(BYTES + 3 * AOMA_CHUNK_BYTES, area);

    faulty_os.place = end;
    CHECK(aoma_os_map(2 * AOMA_CHUNK_BYTES, AOMA_OS_USABLE));
    CHECK(aoma_segment_add_region(end, end + 2 * AOMA_CHUNK_BYTES));
    uintptr_t entry = aoma_page_map_get(end);
    assert_true(aoma_entry_is_segment(entry));
    void *moved = resize(block, 2 * BYTES);
    assert_ptr_not_equal(moved, block);
    assert_true(aoma_page_map_get(end) == entry);
    assert_int_equal(entry_of(block), 0);
}
