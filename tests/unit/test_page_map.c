/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

#include "unit.h"
#include "interleave.h"

#define LEAF_BYTES ((uintptr_t)1 << (AOMA_SEGMENT_SHIFT + AOMA_PAGE_MAP_LEAF_BITS))
#define ADDRESS_MAX (UINTPTR_MAX >> (8 * sizeof(uintptr_t) - AOMA_ADDRESS_BITS))

/* What a leaf takes of the memory it is cut from. */
#define LEAF_SPARE_BYTES ((sizeof(struct aoma_page_map_leaf) + AOMA_CHUNK_MASK) & ~AOMA_CHUNK_MASK)

/* Addresses of no memory: only the map is asked. A map of 32 bits has 8 leaves. */
#define SOMEWHERE (4 * LEAF_BYTES)

TEST(unknown_addresses_have_no_entry)
{
    static const uintptr_t addresses[] = {
        0,
        1,
        AOMA_SEGMENT_BYTES,
        SOMEWHERE,
        ADDRESS_MAX,
        UINTPTR_MAX / 2,
        UINTPTR_MAX / 2 + 1,
        UINTPTR_MAX - 1,
        UINTPTR_MAX,
    };

    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++)
        assert_int_equal(aoma_page_map_get(addresses[i]), 0);
    for (unsigned bit = 0; bit < 8 * sizeof(uintptr_t); bit++)
        assert_int_equal(aoma_page_map_get((uintptr_t)1 << bit), 0);
}

/* The bits above the address space must not be cut off. */
TEST(non_canonical_addresses_do_not_alias)
{
    assert_true(aoma_page_map_reserve(SOMEWHERE, SOMEWHERE + 1, NULL));
    aoma_page_map_set(SOMEWHERE, 8);
    for (unsigned bit = AOMA_ADDRESS_BITS; bit < 8 * sizeof(uintptr_t); bit++)
        assert_int_equal(aoma_page_map_get(SOMEWHERE | (uintptr_t)1 << bit), 0);
}

TEST(an_entry_is_that_of_its_whole_window_and_no_other)
{
    assert_true(aoma_page_map_reserve(SOMEWHERE, SOMEWHERE + 3 * AOMA_SEGMENT_BYTES, NULL));
    aoma_page_map_set(SOMEWHERE + AOMA_SEGMENT_BYTES, 0x1230);
    assert_int_equal(aoma_page_map_get(SOMEWHERE + AOMA_SEGMENT_BYTES - 1), 0);
    assert_int_equal(aoma_page_map_get(SOMEWHERE + AOMA_SEGMENT_BYTES), 0x1230);
    assert_int_equal(aoma_page_map_get(SOMEWHERE + 2 * AOMA_SEGMENT_BYTES - 1), 0x1230);
    assert_int_equal(aoma_page_map_get(SOMEWHERE + 2 * AOMA_SEGMENT_BYTES), 0);
}

TEST(replace_needs_what_is_expected)
{
    assert_true(aoma_page_map_reserve(SOMEWHERE, SOMEWHERE + 1, NULL));
    assert_false(aoma_page_map_replace(SOMEWHERE, 8, 16));
    assert_int_equal(aoma_page_map_get(SOMEWHERE), 0);
    assert_true(aoma_page_map_replace(SOMEWHERE, 0, 8));
    assert_false(aoma_page_map_replace(SOMEWHERE, 0, 16));
    assert_int_equal(aoma_page_map_get(SOMEWHERE), 8);
    assert_true(aoma_page_map_replace(SOMEWHERE, 8, 0));
    assert_int_equal(aoma_page_map_get(SOMEWHERE), 0);
}

/* The windows that begin behind low and before high, exactly, whatever low and high are within theirs. */
static void check_fill(uintptr_t low, uintptr_t high)
{
    uintptr_t first = low & ~(uintptr_t)AOMA_SEGMENT_MASK;

    assert_true(aoma_page_map_reserve(low, high, NULL));
    aoma_page_map_change_interior(low, high, 0, AOMA_ENTRY_INTERIOR);
    assert_int_equal(aoma_page_map_get(first), 0);
    for (uintptr_t window = first + AOMA_SEGMENT_BYTES; window < high; window += AOMA_SEGMENT_BYTES)
        assert_int_equal(aoma_page_map_get(window), AOMA_ENTRY_INTERIOR);
    assert_int_equal(aoma_page_map_get((high + AOMA_SEGMENT_MASK) & ~(uintptr_t)AOMA_SEGMENT_MASK), 0);
    aoma_page_map_change_interior(low, high, AOMA_ENTRY_INTERIOR, 0);
    for (uintptr_t window = first; window <= high; window += AOMA_SEGMENT_BYTES)
        assert_int_equal(aoma_page_map_get(window), 0);
}

TEST(fill_covers_the_interior)
{
    for (uintptr_t length = 1; length < 4 * AOMA_SEGMENT_BYTES; length += AOMA_SEGMENT_BYTES / 4 - 1) {
        check_fill(SOMEWHERE, SOMEWHERE + length);
        check_fill(SOMEWHERE + AOMA_CHUNK_BYTES, SOMEWHERE + AOMA_CHUNK_BYTES + length);
    }
}

TEST(fill_crosses_leaves)
{
    check_fill(2 * LEAF_BYTES - 3 * AOMA_SEGMENT_BYTES, 2 * LEAF_BYTES + 3 * AOMA_SEGMENT_BYTES);
}

TEST(reserve_takes_all_leaves_of_a_range)
{
    aoma_source_enable_mmap();
    assert_true(aoma_page_map_reserve(SOMEWHERE + LEAF_BYTES / 2, SOMEWHERE + 3 * LEAF_BYTES, NULL));
    for (unsigned i = 0; i < 3; i++)
        assert_true(aoma_page_map_replace(SOMEWHERE + i * LEAF_BYTES, 0, 8));
    assert_int_equal(aoma_page_map_get(SOMEWHERE + 3 * LEAF_BYTES), 0);
}

TEST(reserve_refuses_what_no_address_can_be)
{
    uintptr_t last_window = ADDRESS_MAX - AOMA_SEGMENT_MASK;

    if (ADDRESS_MAX != UINTPTR_MAX) {
        assert_false(aoma_page_map_reserve(last_window, ADDRESS_MAX + 2, NULL));
        assert_false(aoma_page_map_reserve(UINTPTR_MAX - AOMA_SEGMENT_BYTES, UINTPTR_MAX, NULL));
    }
    assert_true(aoma_page_map_reserve(last_window, ADDRESS_MAX + 1, NULL));
}

TEST(reserving_again_takes_nothing)
{
    for (unsigned i = 0; i < 100; i++)
        assert_true(aoma_page_map_reserve(SOMEWHERE, SOMEWHERE + LEAF_BYTES, NULL));
    assert_int_equal(aoma_page_map_missing_leaves(SOMEWHERE, SOMEWHERE + LEAF_BYTES), 0);
}

/* However many threads are in the middle of their first call: the static heap's leaves come from no common stock. */
TEST(the_static_heap_has_leaves_when_all_others_are_taken)
{
    uintptr_t low, high;

    for (unsigned i = 0; i < AOMA_PAGE_MAP_LEAVES_STATIC; i++)
        assert_true(aoma_page_map_reserve(i * LEAF_BYTES, i * LEAF_BYTES + 1, NULL));
    assert_false(aoma_page_map_reserve(SOMEWHERE, SOMEWHERE + 1, NULL));
    aoma_source_static_heap(&low, &high);
    for (unsigned i = 0; i < 3; i++)
        aoma_page_map_reserve_home(low, high);
    aoma_page_map_set(low, 8);
    aoma_page_map_set(high - 1, 16);
    assert_int_equal(aoma_page_map_get(low), 8);
    assert_int_equal(aoma_page_map_get(high - 1), 16);
}

/* A static heap across the border of two leaves; again and again it is the same ones. */
TEST(the_static_heap_may_lie_across_leaves)
{
    uintptr_t border = SOMEWHERE;

    for (unsigned i = 0; i < 3; i++) {
        aoma_page_map_reserve_home(border - AOMA_SEGMENT_BYTES, border + AOMA_SEGMENT_BYTES);
        aoma_page_map_set(border - 1, 8);
        aoma_page_map_set(border, 16);
        assert_int_equal(aoma_page_map_get(border - 1), 8);
        assert_int_equal(aoma_page_map_get(border), 16);
    }
}

/* Without mmap: the static leaves, then what is cut from a region, then no more. */
TEST(leaves_run_out_without_mmap)
{
    enum { SPARE_BYTES = 2 * LEAF_SPARE_BYTES };
    static _Alignas(AOMA_CHUNK_BYTES) char memory[SPARE_BYTES];
    uintptr_t low = (uintptr_t)memory;
    struct aoma_spare spare = {low, low, low + SPARE_BYTES};

    assert_int_equal(aoma_page_map_missing_leaves(0, AOMA_PAGE_MAP_LEAVES_STATIC * LEAF_BYTES), 0);
    for (unsigned i = 0; i < AOMA_PAGE_MAP_LEAVES_STATIC; i++)
        assert_true(aoma_page_map_reserve(i * LEAF_BYTES, i * LEAF_BYTES + 1, NULL));
    assert_false(aoma_page_map_reserve(SOMEWHERE, SOMEWHERE + 1, NULL));
    assert_int_equal(aoma_page_map_missing_leaves(SOMEWHERE, SOMEWHERE + 1), 1);
    assert_int_equal(aoma_page_map_missing_leaves(SOMEWHERE - 1, SOMEWHERE + 1), 2);
    assert_true(aoma_page_map_reserve(SOMEWHERE - 1, SOMEWHERE + 1, &spare));
    assert_int_equal(spare.low, spare.high);
    assert_false(aoma_page_map_reserve(SOMEWHERE, SOMEWHERE + LEAF_BYTES + 1, &spare));
    aoma_page_map_set(SOMEWHERE, 8);
    assert_int_equal(aoma_page_map_get(SOMEWHERE), 8);
}

/* Content of the memory that a leaf is cut from must not be taken for entries. */
TEST(a_leaf_cut_from_dirty_memory_is_zero)
{
    enum { SPARE_BYTES = LEAF_SPARE_BYTES };
    static _Alignas(AOMA_CHUNK_BYTES) unsigned char memory[SPARE_BYTES];
    uintptr_t low = (uintptr_t)memory;
    struct aoma_spare spare = {low, low, low + SPARE_BYTES};

    for (unsigned i = 0; i < AOMA_PAGE_MAP_LEAVES_STATIC; i++)
        assert_true(aoma_page_map_reserve(i * LEAF_BYTES, i * LEAF_BYTES + 1, NULL));
    for (size_t i = 0; i < SPARE_BYTES; i++)
        memory[i] = 0xff;
    assert_true(aoma_page_map_reserve(SOMEWHERE, SOMEWHERE + 1, &spare));
    for (uintptr_t at = SOMEWHERE; at < SOMEWHERE + LEAF_BYTES; at += AOMA_SEGMENT_BYTES)
        CHECK(aoma_page_map_get(at) == 0);
}

TEST(only_segment_entries_lead_to_segments)
{
    static struct aoma_segment segment;

    assert_ptr_equal(aoma_entry_segment((uintptr_t)&segment + AOMA_ENTRY_SEGMENT), &segment);
    assert_null(aoma_entry_segment(0));
    assert_null(aoma_entry_segment(AOMA_ENTRY_INTERIOR));
    assert_null(aoma_entry_segment((uintptr_t)1000 << AOMA_ENTRY_SHIFT | AOMA_ENTRY_MAPPING));
}

TEST(a_mappings_entry_tells_its_length)
{
    uintptr_t entry = (uintptr_t)1000 << AOMA_ENTRY_SHIFT | AOMA_ENTRY_MAPPING;

    assert_int_equal(aoma_entry_mapping_bytes(entry), 1000 * AOMA_PAGE_BYTES);
    assert_int_equal(aoma_entry_mapping_bytes(0), 0);
    assert_int_equal(aoma_entry_mapping_bytes(AOMA_ENTRY_INTERIOR), 0);
}

/* Only what is expected changes: a window may have become somebody else's. */
TEST(interior_entries_of_others_stay)
{
    uintptr_t high = SOMEWHERE + 3 * AOMA_SEGMENT_BYTES;

    assert_true(aoma_page_map_reserve(SOMEWHERE, high, NULL));
    aoma_page_map_set(SOMEWHERE + AOMA_SEGMENT_BYTES, 0x1231);
    aoma_page_map_change_interior(SOMEWHERE, high, 0, AOMA_ENTRY_INTERIOR);
    assert_int_equal(aoma_page_map_get(SOMEWHERE + AOMA_SEGMENT_BYTES), 0x1231);
    assert_int_equal(aoma_page_map_get(SOMEWHERE + 2 * AOMA_SEGMENT_BYTES), AOMA_ENTRY_INTERIOR);
    aoma_page_map_change_interior(SOMEWHERE, high, AOMA_ENTRY_INTERIOR, 0);
    assert_int_equal(aoma_page_map_get(SOMEWHERE + AOMA_SEGMENT_BYTES), 0x1231);
    assert_int_equal(aoma_page_map_get(SOMEWHERE + 2 * AOMA_SEGMENT_BYTES), 0);
}

/* ---- in the middle of each other ---- */

static void reserve_and_set_first(void)
{
    CHECK(aoma_page_map_reserve(SOMEWHERE, SOMEWHERE + 1, NULL));
    aoma_page_map_set(SOMEWHERE, 8);
}

static void reserve_and_set_second(void)
{
    CHECK(aoma_page_map_reserve(SOMEWHERE, SOMEWHERE + AOMA_SEGMENT_BYTES + 1, NULL));
    aoma_page_map_set(SOMEWHERE + AOMA_SEGMENT_BYTES, 16);
}

/* One leaf for both: the loser's serves another range, as far as the static ones go. */
static void check_one_leaf(void)
{
    CHECK(aoma_page_map_get(SOMEWHERE) == 8);
    CHECK(aoma_page_map_get(SOMEWHERE + AOMA_SEGMENT_BYTES) == 16);
    for (unsigned i = 1; i < AOMA_PAGE_MAP_LEAVES_STATIC; i++) {
        CHECK(aoma_page_map_reserve(i * LEAF_BYTES, i * LEAF_BYTES + 1, NULL));
        CHECK(aoma_page_map_get(i * LEAF_BYTES) == 0);
    }
    CHECK(!aoma_page_map_reserve(SOMEWHERE + LEAF_BYTES, SOMEWHERE + LEAF_BYTES + 1, NULL));
}

TEST(a_leaf_made_by_two_at_once_is_one)
{
    interleave(reserve_and_set_first, reserve_and_set_second, check_one_leaf);
}

static bool replaced[2];

static void replace_first(void)
{
    replaced[0] = aoma_page_map_replace(SOMEWHERE, 8, 16);
}

static void replace_second(void)
{
    replaced[1] = aoma_page_map_replace(SOMEWHERE, 8, 24);
}

static void check_one_replaced(void)
{
    CHECK(replaced[0] != replaced[1]);
    CHECK(aoma_page_map_get(SOMEWHERE) == (replaced[0] ? 16 : 24));
}

TEST(of_two_who_replace_one_succeeds)
{
    assert_true(aoma_page_map_reserve(SOMEWHERE, SOMEWHERE + 1, NULL));
    aoma_page_map_set(SOMEWHERE, 8);
    interleave(replace_first, replace_second, check_one_replaced);
}
