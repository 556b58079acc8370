/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

#include "unit.h"
#include "faulty_os.h"
#include "interleave.h"
#include "process.h"

#include <string.h>

#define PIECE (64 * KIB)

TEST(static_heap_is_whole_chunks_of_the_stated_size)
{
    uintptr_t low, high;

    aoma_source_static_heap(&low, &high);
    assert_int_equal(low % AOMA_CHUNK_BYTES, 0);
    assert_int_equal(high - low, TEST_HEAP_BYTES);
    for (uintptr_t at = low; at < high; at += AOMA_CHUNK_BYTES)
        *(volatile char *)at = 1;
    assert_int_equal(faulty_os.map_calls, 0);
}

TEST(nothing_is_mapped_before_mmap_is_enabled)
{
    assert_false(aoma_source_mmap_enabled());
    assert_null(aoma_source_map(PIECE, AOMA_PAGE_BYTES));
    assert_null(aoma_source_metadata(PIECE, NULL));
    assert_int_equal(faulty_os.map_calls, 0);
    assert_int_equal(aoma_source_mapped_bytes(), 0);
    aoma_source_enable_mmap();
    assert_true(aoma_source_mmap_enabled());
    assert_non_null(aoma_source_map(PIECE, AOMA_PAGE_BYTES));
}

TEST(mapped_memory_is_aligned_and_counted)
{
    aoma_source_enable_mmap();
    for (size_t align = AOMA_PAGE_BYTES; align <= 64 * MIB; align *= 2) {
        char *mem = aoma_source_map(3 * PIECE, align);
        assert_non_null(mem);
        assert_int_equal((uintptr_t)mem % align, 0);
        memset(mem, 1, 3 * PIECE);
        assert_int_equal(aoma_source_mapped_bytes(), 3 * PIECE);
        aoma_source_unmap(mem, 3 * PIECE);
        assert_int_equal(aoma_source_mapped_bytes(), 0);
    }
}

/* Before and behind the aligned part: nothing of the longer mapping stays. */
TEST(an_unaligned_mapping_is_made_again_and_cut)
{
    uintptr_t area = find_free_area(AOMA_GROUP_BYTES);

    aoma_source_enable_mmap();
    size_t before = process_mapped_bytes();
    faulty_os.place = area + AOMA_SEGMENT_BYTES + AOMA_CHUNK_BYTES;
    char *mem = aoma_source_map(PIECE, AOMA_SEGMENT_BYTES);
    assert_int_equal((uintptr_t)mem % AOMA_SEGMENT_BYTES, 0);
    memset(mem, 1, PIECE);
    assert_int_equal(faulty_os.map_calls, 2);
    assert_int_equal(aoma_source_mapped_bytes(), PIECE);
    if (!test_instrumented())
        assert_int_equal(process_mapped_bytes(), before + PIECE);
    aoma_source_unmap(mem, PIECE);
    assert_int_equal(aoma_source_mapped_bytes(), 0);
}

/* Before that it would be a system call that was not allowed. */
TEST(memory_is_populated_in_whole_pages_once_mmap_is_enabled)
{
    uintptr_t low, high;

    aoma_source_static_heap(&low, &high);
    aoma_source_populate((void *)low, PIECE);
    assert_int_equal(faulty_os.populate_calls, 0);
    aoma_source_enable_mmap();
    char *mem = aoma_source_map(2 * PIECE, AOMA_PAGE_BYTES);
    aoma_source_populate(mem, 0);
    assert_int_equal(faulty_os.populate_calls, 0);
    aoma_source_populate(mem + 1, 2 * AOMA_PAGE_BYTES - 2); /* no page is wholly within it */
    aoma_source_populate(mem + AOMA_PAGE_BYTES - 1, 2);
    assert_int_equal(faulty_os.populate_calls, 0);
    aoma_source_populate(mem, PIECE + 1);
    assert_int_equal(faulty_os.populated_low, (uintptr_t)mem);
    assert_int_equal(faulty_os.populated_high, (uintptr_t)mem + PIECE);
    aoma_source_populate(mem + 1, PIECE);
    assert_int_equal(faulty_os.populated_low, (uintptr_t)mem + AOMA_PAGE_BYTES);
    assert_int_equal(faulty_os.populated_high, (uintptr_t)mem + PIECE);
    assert_int_equal(faulty_os.populate_calls, 2);
    assert_true(is_zero((uintptr_t)mem, 2 * PIECE));
}

/* The kernel has too many mappings: the memory goes back, and what is left of it counts. */
TEST(what_cannot_be_unmapped_is_purged_and_counts)
{
    aoma_source_enable_mmap();
    char *mem = aoma_source_map(PIECE, AOMA_PAGE_BYTES);

    memset(mem, 1, PIECE);
    faulty_os.unmaps_left = 0;
    aoma_source_unmap(mem, PIECE);
    assert_true(is_zero((uintptr_t)mem, PIECE));
    assert_int_equal(aoma_source_mapped_bytes(), PIECE);
}

/* What is cut off to align a mapping, too. */
TEST(what_cannot_be_cut_off_counts)
{
    aoma_source_enable_mmap();
    faulty_os.unmaps_left = 0;
    for (unsigned i = 0; aoma_source_mapped_bytes() == i * PIECE; i++) { /* until the kernel's place was not aligned */
        assert_true(i < 4);
        assert_non_null(aoma_source_map(PIECE, 64 * PIECE));
    }
    assert_true(aoma_source_mapped_bytes() >= 64 * PIECE);
}

TEST(limit_is_exact)
{
    aoma_source_enable_mmap();
    aoma_source_set_limit(3 * PIECE);
    void *first = aoma_source_map(2 * PIECE, AOMA_PAGE_BYTES);
    assert_non_null(first);
    assert_null(aoma_source_map(PIECE + 1, AOMA_PAGE_BYTES));
    assert_non_null(aoma_source_map(PIECE, AOMA_PAGE_BYTES));
    assert_null(aoma_source_map(AOMA_PAGE_BYTES, AOMA_PAGE_BYTES));
    aoma_source_unmap(first, 2 * PIECE);
    assert_int_equal(aoma_source_mapped_bytes(), PIECE);
    assert_non_null(aoma_source_map(2 * PIECE, AOMA_PAGE_BYTES));
    assert_int_equal(aoma_source_mapped_bytes(), 3 * PIECE);
}

TEST(limit_below_what_is_mapped_refuses_and_does_not_wrap)
{
    aoma_source_enable_mmap();
    assert_non_null(aoma_source_map(2 * PIECE, AOMA_PAGE_BYTES));
    aoma_source_set_limit(PIECE);
    assert_null(aoma_source_map(AOMA_PAGE_BYTES, AOMA_PAGE_BYTES));
    assert_null(aoma_source_map(SIZE_MAX - AOMA_PAGE_BYTES, AOMA_PAGE_BYTES));
    aoma_source_set_limit(SIZE_MAX);
    assert_null(aoma_source_map(SIZE_MAX - AOMA_PAGE_BYTES + 1, AOMA_PAGE_BYTES));
    assert_int_equal(aoma_source_mapped_bytes(), 2 * PIECE);
    assert_int_equal(faulty_os.map_calls, 1); /* the sum was found too large, not the kernel's answer */
    assert_non_null(aoma_source_map(PIECE, AOMA_PAGE_BYTES));
}

TEST(what_the_kernel_refuses_is_not_counted)
{
    aoma_source_enable_mmap();
    faulty_os.maps_left = 0;
    assert_null(aoma_source_map(PIECE, AOMA_PAGE_BYTES));
    assert_null(aoma_source_metadata(PIECE, NULL));
    assert_int_equal(aoma_source_mapped_bytes(), 0);
    assert_null(aoma_source_reserve(PIECE, AOMA_PAGE_BYTES));
    faulty_os.maps_left = 1; /* the first is not aligned, and the second is refused */
    faulty_os.place = find_free_area(AOMA_GROUP_BYTES) + AOMA_CHUNK_BYTES;
    assert_null(aoma_source_map(PIECE, AOMA_SEGMENT_BYTES));
    assert_int_equal(aoma_source_mapped_bytes(), 0);
    assert_int_equal(faulty_os.unmap_calls, 1);
    faulty_os.maps_left = FAULTY_OS_NEVER;
    assert_null(aoma_source_map(SIZE_MAX & ~(AOMA_PAGE_BYTES - 1), AOMA_SEGMENT_BYTES));
    assert_int_equal(aoma_source_mapped_bytes(), 0);
}

TEST(resizing_is_counted)
{
    aoma_source_enable_mmap();
    void *mem = aoma_source_map(4 * PIECE, AOMA_PAGE_BYTES);

    assert_true(aoma_source_resize(mem, 4 * PIECE, PIECE));
    assert_int_equal(aoma_source_mapped_bytes(), PIECE);
    assert_true(aoma_source_resize(mem, PIECE, 2 * PIECE)); /* where it has just been */
    assert_int_equal(aoma_source_mapped_bytes(), 2 * PIECE);

    faulty_os.resizes_left = 0;
    assert_false(aoma_source_resize(mem, 2 * PIECE, 3 * PIECE));
    assert_int_equal(aoma_source_mapped_bytes(), 2 * PIECE);
    assert_false(aoma_source_resize(mem, 2 * PIECE, PIECE));
    assert_int_equal(aoma_source_mapped_bytes(), 2 * PIECE);

    faulty_os.resizes_left = 1;
    aoma_source_set_limit(3 * PIECE - 1);
    assert_false(aoma_source_resize(mem, 2 * PIECE, 3 * PIECE));
    assert_int_equal(faulty_os.resizes_left, 1);
    assert_int_equal(aoma_source_mapped_bytes(), 2 * PIECE);
}

TEST(moving_is_counted)
{
    aoma_source_enable_mmap();
    char *mem = aoma_source_map(PIECE, AOMA_PAGE_BYTES);
    void *target = aoma_source_reserve(2 * PIECE, AOMA_SEGMENT_BYTES);

    memset(mem, 0x31, PIECE);
    assert_int_equal((uintptr_t)target % AOMA_SEGMENT_BYTES, 0);
    assert_int_equal(aoma_source_mapped_bytes(), PIECE); /* a reservation is none of memory */
    aoma_source_set_limit(2 * PIECE - 1);
    assert_false(aoma_source_move(mem, PIECE, target, 2 * PIECE));
    aoma_source_set_limit(2 * PIECE);
    faulty_os.moves_left = 0;
    assert_false(aoma_source_move(mem, PIECE, target, 2 * PIECE));
    assert_int_equal(aoma_source_mapped_bytes(), PIECE);
    assert_int_equal(mem[PIECE - 1], 0x31);

    faulty_os.moves_left = 1;
    assert_true(aoma_source_move(mem, PIECE, target, 2 * PIECE));
    assert_int_equal(aoma_source_mapped_bytes(), 2 * PIECE);
    assert_int_equal(((char *)target)[PIECE - 1], 0x31);
    aoma_source_unmap(target, 2 * PIECE);
    assert_int_equal(aoma_source_mapped_bytes(), 0);
}

TEST(metadata_comes_from_mmap_when_that_is_enabled)
{
    static _Alignas(AOMA_CHUNK_BYTES) char memory[4 * AOMA_CHUNK_BYTES];
    uintptr_t low = (uintptr_t)memory;
    struct aoma_spare spare = {low, low, low + sizeof memory};

    aoma_source_enable_mmap();
    char *mem = aoma_source_metadata(100, &spare);
    assert_non_null(mem);
    assert_int_equal(spare.low, low);
    assert_true(aoma_source_mapped_bytes() >= 100);
    aoma_source_metadata_return(mem, 100, &spare);
    assert_int_equal(aoma_source_mapped_bytes(), 0);
}

TEST(metadata_is_cut_from_a_region_in_whole_chunks)
{
    static _Alignas(AOMA_CHUNK_BYTES) unsigned char memory[4 * AOMA_CHUNK_BYTES];
    uintptr_t low = (uintptr_t)memory;
    struct aoma_spare spare = {low, low, low + sizeof memory};

    memset(memory, 0xff, sizeof memory);
    unsigned char *first = aoma_source_metadata(AOMA_CHUNK_BYTES + 1, &spare);
    assert_ptr_equal(first, memory);
    assert_int_equal(spare.low, low + 2 * AOMA_CHUNK_BYTES);
    for (size_t i = 0; i <= AOMA_CHUNK_BYTES; i++)
        CHECK(first[i] == 0);
    unsigned char *second = aoma_source_metadata(1, &spare);
    assert_ptr_equal(second, memory + 2 * AOMA_CHUNK_BYTES);
    assert_null(aoma_source_metadata(AOMA_CHUNK_BYTES + 1, &spare));
    aoma_source_metadata_return(second, 1, &spare);
    assert_int_equal(spare.low, low + 2 * AOMA_CHUNK_BYTES);
    assert_ptr_equal(aoma_source_metadata(2 * AOMA_CHUNK_BYTES, &spare), second);
    assert_null(aoma_source_metadata(1, &spare));
}

/* ---- in the middle of each other ---- */

static void *pieces[2];

static void map_first(void)
{
    pieces[0] = aoma_source_map(PIECE, AOMA_PAGE_BYTES);
}

static void map_second(void)
{
    pieces[1] = aoma_source_map(PIECE, AOMA_PAGE_BYTES);
}

static void check_one_mapped(void)
{
    CHECK((pieces[0] != NULL) != (pieces[1] != NULL));
    CHECK(aoma_source_mapped_bytes() == PIECE);
}

TEST(two_do_not_pass_the_limit_together)
{
    aoma_source_enable_mmap();
    aoma_source_set_limit(2 * PIECE - 1);
    interleave(map_first, map_second, check_one_mapped);
}

static void unmap_first(void)
{
    aoma_source_unmap(pieces[0], PIECE);
}

static void check_second_mapped(void)
{
    CHECK(pieces[1] && aoma_source_mapped_bytes() == PIECE);
}

TEST(unmapping_and_mapping_at_once_are_both_counted)
{
    aoma_source_enable_mmap();
    map_first();
    interleave(unmap_first, map_second, check_second_mapped);
}
