/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

#include "unit.h"
#include "faulty_os.h"
#include "interleave.h"
#include "process.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define INSIDE "not a block: inside a large one"
#define GONE "not in use: freed already or resized by another thread"

/* As many as are kept, at most. */
enum { CACHE_SLOTS = 16 };

/* Longer than a segment, of whole pages, and small enough for the share of dirty memory. */
#define BYTES (AOMA_SEGMENT_BYTES + 3 * AOMA_CHUNK_BYTES)

static uintptr_t entry_of(const void *block)
{
    return aoma_page_map_get((uintptr_t)block);
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
    size_t expected = (bytes + AOMA_PAGE_BYTES - 1) & ~(AOMA_PAGE_BYTES - 1);
    bool clean;

    if (expected < AOMA_SEGMENT_BYTES)
        expected = AOMA_SEGMENT_BYTES;
    void *block = aoma_mapping_take(bytes, align, &clean);
    CHECK(block && clean);
    CHECK((uintptr_t)block % AOMA_SEGMENT_BYTES == 0 && (uintptr_t)block % align == 0);
    CHECK(bytes < AOMA_GROUP_BYTES || (uintptr_t)block % AOMA_GROUP_BYTES == 0);
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
    assert_ptr_equal(resize(block, BYTES - AOMA_CHUNK_BYTES), block);
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

/* ---- the cache ---- */

TEST(a_freed_mapping_is_used_again)
{
    bool clean;

    aoma_source_enable_mmap();
    void *block = take(BYTES);
    unsigned calls = faulty_os_calls();
    fill(block, BYTES, 7);
    give_mapping(block);
    assert_int_equal(aoma_segment_dirty_free_bytes(), BYTES);
    assert_int_equal(aoma_source_mapped_bytes(), BYTES);
    assert_ptr_equal(aoma_mapping_take(BYTES, 1, &clean), block);
    assert_false(clean);
    assert_int_equal(aoma_segment_dirty_free_bytes(), 0);
    assert_int_equal(faulty_os_calls(), calls);
    check_entries(block, BYTES);
}

/* Twice the length and more would waste, less is too short. */
TEST(a_kept_mapping_serves_half_its_length_and_more)
{
    aoma_source_enable_mmap();
    size_t bytes = 2 * AOMA_GROUP_BYTES;
    void *block = take(bytes);

    give_mapping(block);
    void *longer = take(bytes + AOMA_PAGE_BYTES), *shorter = take(bytes / 2 - AOMA_PAGE_BYTES);
    assert_ptr_not_equal(longer, block);
    assert_ptr_not_equal(shorter, block);
    assert_int_equal(aoma_segment_dirty_free_bytes(), bytes);

    size_t mapped = aoma_source_mapped_bytes();
    assert_ptr_equal(take(bytes / 2), block);
    check_entries(block, bytes / 2); /* the rest has gone back */
    assert_int_equal(aoma_source_mapped_bytes(), mapped - bytes / 2);
    assert_int_equal(aoma_segment_dirty_free_bytes(), 0);
}

TEST(a_small_excess_stays_with_the_block)
{
    aoma_source_enable_mmap();
    size_t bytes = 2 * AOMA_GROUP_BYTES, asked = bytes / 9 * 8;
    void *block = take(bytes);

    asked = (asked + AOMA_PAGE_BYTES - 1) & ~(AOMA_PAGE_BYTES - 1);
    give_mapping(block);
    assert_ptr_equal(take(asked), block);
    check_entries(block, bytes);
    give_mapping(block);
    assert_ptr_equal(take(asked - AOMA_GROUP_BYTES / 16), block);
    check_entries(block, asked - AOMA_GROUP_BYTES / 16);
}

TEST(a_kept_mapping_must_be_aligned_as_asked)
{
    bool clean;

    aoma_source_enable_mmap();
    faulty_os.place = find_free_area(AOMA_GROUP_BYTES) + AOMA_SEGMENT_BYTES;
    void *block = take(BYTES);
    give_mapping(block);
    void *aligned = aoma_mapping_take(BYTES, AOMA_GROUP_BYTES, &clean);
    assert_int_equal((uintptr_t)aligned % AOMA_GROUP_BYTES, 0);
    assert_true(clean);
    assert_ptr_equal(aoma_mapping_take(BYTES, AOMA_SEGMENT_BYTES, &clean), block);
}

static size_t kept_bytes(size_t bytes, unsigned count)
{
    void *blocks[64];

    CHECK(count <= 64);
    for (unsigned i = 0; i < count; i++)
        blocks[i] = take(bytes);
    for (unsigned i = 0; i < count; i++)
        give_mapping(blocks[i]);
    CHECK(aoma_source_mapped_bytes() == aoma_segment_dirty_free_bytes());
    return aoma_source_mapped_bytes();
}

TEST(as_many_are_kept_as_there_are_slots)
{
    aoma_source_enable_mmap();
    aoma_source_map(64 * MIB, AOMA_PAGE_BYTES); /* the share grows with it */
    size_t other = aoma_source_mapped_bytes();
    void *blocks[CACHE_SLOTS + 2];

    for (unsigned i = 0; i < CACHE_SLOTS + 2; i++)
        blocks[i] = take(AOMA_SEGMENT_BYTES);
    for (unsigned i = 0; i < CACHE_SLOTS + 2; i++)
        give_mapping(blocks[i]);
    assert_int_equal(aoma_source_mapped_bytes() - other, CACHE_SLOTS * AOMA_SEGMENT_BYTES);
    assert_int_equal(aoma_segment_dirty_free_bytes(), CACHE_SLOTS * AOMA_SEGMENT_BYTES);
    assert_int_equal(aoma_mapping_flush(), CACHE_SLOTS * AOMA_SEGMENT_BYTES);
    assert_int_equal(aoma_source_mapped_bytes(), other);
    assert_int_equal(aoma_segment_dirty_free_bytes(), 0);
    assert_int_equal(aoma_mapping_flush(), 0);
}

TEST(what_is_kept_stays_within_the_share_of_dirty_memory)
{
    aoma_source_enable_mmap();
    size_t kept = kept_bytes(MIB, 12);

    assert_in_range(kept, 4 * MIB, 4 * MIB + 12 * MIB / 8);
    assert_int_equal(aoma_mapping_flush(), kept);
    assert_int_equal(kept_bytes(8 * MIB, 1), 0); /* alone too long */
}

static void *taken[2];

static void take_first(void)
{
    taken[0] = take(AOMA_SEGMENT_BYTES);
}

static void take_second(void)
{
    taken[1] = take(AOMA_SEGMENT_BYTES);
}

static void check_different_mappings(void)
{
    CHECK(taken[0] != taken[1]);
    check_entries(taken[0], AOMA_SEGMENT_BYTES);
    check_entries(taken[1], AOMA_SEGMENT_BYTES);
    CHECK(aoma_source_mapped_bytes() == 2 * AOMA_SEGMENT_BYTES);
    CHECK(aoma_segment_dirty_free_bytes() == 0);
}

/* Far apart, so that no window is shared. */
static void *take_at(uintptr_t place)
{
    faulty_os.place = place;
    return take(AOMA_SEGMENT_BYTES);
}

TEST(a_kept_mapping_is_given_to_one_of_two)
{
    aoma_source_enable_mmap();
    give_mapping(take_at(find_free_area(AOMA_GROUP_BYTES)));
    interleave_sparsely(2, take_first, take_second, check_different_mappings);
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
    CHECK(aoma_segment_dirty_free_bytes() == 2 * AOMA_SEGMENT_BYTES);
    CHECK(aoma_mapping_flush() == 2 * AOMA_SEGMENT_BYTES);
    CHECK(aoma_source_mapped_bytes() == 0 && aoma_segment_dirty_free_bytes() == 0);
}

TEST(two_that_are_freed_at_once_are_both_kept)
{
    uintptr_t area = find_free_area(2 * AOMA_GROUP_BYTES);

    aoma_source_enable_mmap();
    taken[0] = take_at(area);
    taken[1] = take_at(area + AOMA_GROUP_BYTES);
    interleave(give_first, give_second, check_both_are_kept);
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
    CHECK(flushed[0] + flushed[1] == AOMA_SEGMENT_BYTES);
    CHECK(aoma_source_mapped_bytes() == 0 && aoma_segment_dirty_free_bytes() == 0);
}

TEST(a_kept_mapping_is_flushed_once)
{
    aoma_source_enable_mmap();
    give_mapping(take_at(find_free_area(AOMA_GROUP_BYTES)));
    interleave(flush_first, flush_second, check_flushed_once);
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
        BYTES + 1, 2 * BYTES, 8 * BYTES, 8 * BYTES - 1, 3 * BYTES, AOMA_SEGMENT_BYTES + 1, BYTES,
    };

    aoma_source_enable_mmap();
    void *block = take_with_room(BYTES, 16 * BYTES);
    size_t whole = BYTES;
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        size_t bytes = (lengths[i] + AOMA_PAGE_BYTES - 1) & ~(AOMA_PAGE_BYTES - 1);
        assert_ptr_equal(resize(block, lengths[i]), block);
        check_entries(block, bytes);
        whole = bytes < whole ? bytes : whole;
        assert_true(is_filled(block, whole, 0x33));
        assert_int_equal(aoma_source_mapped_bytes(), bytes);
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
    assert_int_equal((uintptr_t)moved % AOMA_GROUP_BYTES, 0);
    assert_true(is_filled(moved, BYTES, 0x33));
    assert_true(is_zero((uintptr_t)moved + BYTES, 3 * AOMA_GROUP_BYTES - BYTES));
    check_entries(moved, 3 * AOMA_GROUP_BYTES);
    check_no_entries((uintptr_t)block, BYTES);
    assert_int_equal(aoma_source_mapped_bytes(), 3 * AOMA_GROUP_BYTES);
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

    faulty_os.resizes_left = faulty_os.moves_left = 0;
    assert_null(resize(block, BYTES));
    check_entries(block, 2 * BYTES);
    assert_int_equal(aoma_source_mapped_bytes(), 2 * BYTES);
}

/* The last window of a mapping may be a segment's, beyond the mapping's end. */
TEST(a_segment_behind_a_mapping_keeps_its_entry)
{
    aoma_source_enable_mmap();
    void *block = take_with_room(BYTES, 0);
    uintptr_t end = (uintptr_t)block + BYTES;

    faulty_os.place = end;
    CHECK(aoma_os_map(2 * AOMA_CHUNK_BYTES, AOMA_OS_USABLE));
    CHECK(aoma_segment_add_region(end, end + 2 * AOMA_CHUNK_BYTES));
    uintptr_t entry = aoma_page_map_get(end);
    assert_true(aoma_entry_is_segment(entry));
    block = resize(block, BYTES - AOMA_CHUNK_BYTES);
    assert_true(aoma_page_map_get(end) == entry);
    void *moved = resize(block, 2 * BYTES);
    assert_ptr_not_equal(moved, block);
    assert_true(aoma_page_map_get(end) == entry);
    assert_int_equal(entry_of(block), 0);
}
