/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* AO_malloc_add_region. */

#define _GNU_SOURCE
#include "chain.h"
#include "test.h"

#include <aomalloc.h>

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define CHUNK_BYTES ((size_t)8192)

#define REGION_BYTES (4 * MIB)

static _Alignas(CHUNK_BYTES) unsigned char region[REGION_BYTES];

static bool is_inside(const void *block, const void *start, size_t bytes)
{
    return (uintptr_t)block - (uintptr_t)start < bytes;
}

static void assert_added(void *start, size_t bytes)
{
    errno = ERRNO_SENTINEL;
    if (AO_malloc_add_region(start, bytes) != 0)
        fail_msg("%zu bytes at %p refused (errno %d)", bytes, start, errno);
    assert_int_equal(errno, ERRNO_SENTINEL);
}

static void assert_refused(void *start, size_t bytes)
{
    errno = 0;
    if (AO_malloc_add_region(opaque_pointer(start), opaque_size(bytes)) != -1)
        fail_msg("%zu bytes at %p taken", bytes, start);
    assert_int_equal(errno, EINVAL);
}

/* How much of the memory at start can be had in blocks of a size, when nothing else is left. */
static size_t bytes_obtained(const void *start, size_t bytes, size_t size)
{
    struct chain chain = {0};
    size_t obtained = 0;

    while (chain_add(&chain, size)) {
        memset((char *)chain.first + sizeof(void *), 0x77, size - sizeof(void *));
        if (is_inside(chain.first, start, bytes))
            obtained += size;
    }
    assert_int_equal(errno, ENOMEM);
    chain_free(&chain);
    return obtained;
}

TEST(region_is_used_when_the_static_heap_is_full)
{
    memset(region, 0xee, sizeof region);
    assert_int_equal(bytes_obtained(region, sizeof region, 1000), 0);
    assert_added(region, sizeof region);
    assert_in_range(bytes_obtained(region, sizeof region, 1000), REGION_BYTES * 85 / 100, REGION_BYTES);
    assert_in_range(bytes_obtained(region, sizeof region, 50000), REGION_BYTES * 70 / 100, REGION_BYTES);
}

/* Its content is whatever it was: calloc must not take it for zero pages. */
TEST(calloc_from_a_dirty_region_is_zero)
{
    struct chain chain = {0};

    chain_exhaust(&chain, 4000);
    memset(region, 0xee, sizeof region);
    assert_added(region, sizeof region);
    for (size_t size = 10; size < REGION_BYTES / 8; size = size * 3 + 5) {
        unsigned char *block = AO_calloc(size, 1);
        assert_non_null(block);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(block[i], 0);
    }
}

TEST(large_object_from_a_region)
{
    assert_added(region, sizeof region);
    size_t size = 3 * MIB > TEST_HEAP_BYTES ? 300 * KIB : TEST_HEAP_BYTES / 2;
    unsigned char *block = AO_calloc(1, size);
    assert_non_null(block);
    AO_free(block);
}

TEST(region_stays_inside_its_bounds)
{
    static const size_t inset = 1234;
    struct chain chain = {0};

    memset(region, 0xee, sizeof region);
    assert_added(region + inset, sizeof region - 2 * inset);
    while (chain_add(&chain, 500))
        memset((char *)chain.first + sizeof(void *), 0, AO_malloc_usable_size(chain.first) - sizeof(void *));
    for (size_t i = 0; i < inset; i++) {
        assert_int_equal(region[i], 0xee);
        assert_int_equal(region[sizeof region - 1 - i], 0xee);
    }
}

TEST(region_without_a_whole_chunk_is_refused)
{
    assert_refused(region, 0);
    assert_refused(region, CHUNK_BYTES - 1);
    assert_refused(region + 1, 2 * CHUNK_BYTES - 2);
    assert_refused(region + CHUNK_BYTES - 1, CHUNK_BYTES);
    assert_refused(region + CHUNK_BYTES / 2, CHUNK_BYTES);
    assert_int_equal(bytes_obtained(region, sizeof region, 1000), 0);
}

TEST(region_of_one_whole_chunk_is_taken_wherever_it_starts)
{
    assert_added(region, CHUNK_BYTES);
    assert_added(region + 2 * CHUNK_BYTES + 1, 2 * CHUNK_BYTES - 1);
    assert_added(region + 5 * CHUNK_BYTES - 1, CHUNK_BYTES + 1);
    assert_added(region + 7 * CHUNK_BYTES + CHUNK_BYTES / 2, 2 * CHUNK_BYTES);
    assert_in_range(bytes_obtained(region, sizeof region, 16), 4 * CHUNK_BYTES * 3 / 4, 4 * CHUNK_BYTES);
}

TEST(region_is_refused_twice)
{
    assert_added(region + CHUNK_BYTES * 8, CHUNK_BYTES * 8);
    assert_refused(region + CHUNK_BYTES * 8, CHUNK_BYTES * 8);
    assert_refused(region, sizeof region);
    assert_refused(region + CHUNK_BYTES * 10, CHUNK_BYTES);
    assert_refused(region, CHUNK_BYTES * 9);
    assert_refused(region + CHUNK_BYTES * 15, CHUNK_BYTES * 8);
    /* Neighbours on both sides are no overlap. */
    assert_added(region, CHUNK_BYTES * 8);
    assert_added(region + CHUNK_BYTES * 16, CHUNK_BYTES);
}

TEST(refused_region_changes_nothing)
{
    assert_added(region + MIB, MIB);
    size_t before = bytes_obtained(region, sizeof region, 1000);
    assert_refused(region, sizeof region);
    assert_refused(region + MIB + MIB / 2, MIB);
    assert_int_equal(bytes_obtained(region, sizeof region, 1000), before);
    assert_int_equal(bytes_obtained(region, MIB, 1000), 0);
    assert_int_equal(bytes_obtained(region + 2 * MIB, 2 * MIB, 1000), 0);
}

TEST(region_that_wraps_around_is_refused)
{
    assert_refused((void *)(UINTPTR_MAX - 4 * CHUNK_BYTES), 64 * CHUNK_BYTES);
    assert_refused(region, SIZE_MAX);
    assert_refused(region, SIZE_MAX - (uintptr_t)region + 2);
    assert_refused(region + 1, SIZE_MAX - 1);
    assert_refused((void *)UINTPTR_MAX, 1);
    assert_refused((void *)UINTPTR_MAX, SIZE_MAX);
}

/* Before mmap is enabled, and after. */
TEST(region_that_no_address_space_has_is_refused)
{
    for (unsigned i = 0; i < 2; i++) {
#if UINTPTR_MAX > 0xffffffffu
        assert_refused((void *)(UINTPTR_MAX - 8 * CHUNK_BYTES), 7 * CHUNK_BYTES + 1);
        assert_refused((void *)((uintptr_t)1 << 56), REGION_BYTES);
        assert_refused((void *)((uintptr_t)1 << 48), REGION_BYTES);
        assert_refused((void *)(((uintptr_t)1 << 47) - CHUNK_BYTES), 2 * CHUNK_BYTES);
#endif
        assert_refused((void *)(UINTPTR_MAX - CHUNK_BYTES / 2), CHUNK_BYTES / 2); /* rounded up it would be 0 */
        AO_malloc_enable_mmap();
    }
}

/* Of 32-bit processes the stack may lie in the last segment's window that there is. */
TEST(region_on_the_stack)
{
    unsigned char bytes[8 * CHUNK_BYTES];

    assert_added(bytes, sizeof bytes);
    assert_refused(bytes, sizeof bytes);
}

TEST(refused_region_takes_no_memory)
{
    const size_t huge = sizeof(size_t) > 4 ? (size_t)16384 * 4 * MIB : 0;

    if (!huge)
        test_skip("there is no region whose bookkeeping would be so much");
    void *mem = mmap(NULL, huge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mem == MAP_FAILED)
        test_skip("64 GiB of address space are refused");
    AO_malloc_enable_mmap();
    AO_malloc_set_limit(64 * MIB);
    assert_refused(mem, huge);
    void *block = AO_malloc(50 * MIB);
    assert_non_null(block);
    AO_free(block);
}

TEST(region_inside_the_static_heap_is_refused)
{
    void *block = AO_malloc(64 * KIB);
    assert_non_null(block);
    assert_refused(block, 64 * KIB);
    assert_refused((char *)block - ((uintptr_t)block % CHUNK_BYTES), CHUNK_BYTES);
    AO_free(block);
}

TEST(region_inside_a_mapping_of_the_heap_is_refused)
{
    static const size_t sizes[] = {100, 100 * KIB, 8 * MIB};
    struct chain chain = {0};

    chain_exhaust(&chain, 1000);
    AO_malloc_enable_mmap();
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        void *block = AO_malloc(sizes[i]);
        assert_non_null(block);
        assert_refused((char *)block - ((uintptr_t)block % CHUNK_BYTES), 16 * CHUNK_BYTES);
    }
}

TEST(many_regions)
{
    enum { REGIONS = 64 };
    struct chain chain = {0};

    for (size_t i = 0; i < REGIONS; i++)
        assert_added(region + i * CHUNK_BYTES * 8, CHUNK_BYTES * 7);
    chain_exhaust(&chain, CHUNK_BYTES);
    assert_true(chain.bytes >= CHUNK_BYTES * 7 * REGIONS / 100 * 85);
    chain_free(&chain);
}

TEST(region_with_mmap)
{
    AO_malloc_enable_mmap();
    AO_malloc_set_limit(0);
    assert_added(region, sizeof region);
    assert_in_range(bytes_obtained(region, sizeof region, 1000), REGION_BYTES * 85 / 100, REGION_BYTES);
}

static size_t resident_pages(void *start, size_t bytes)
{
    static unsigned char pages[REGION_BYTES / 4096];
    size_t resident = 0;

    assert_int_equal(mincore(start, bytes, pages), 0);
    for (size_t i = 0; i < bytes / 4096; i++)
        resident += pages[i] & 1;
    return resident;
}

TEST(trim_keeps_regions)
{
    memset(region, 1, sizeof region);
    assert_added(region, sizeof region);
    AO_malloc_enable_mmap();
    AO_malloc_set_limit(0);
    assert_true(bytes_obtained(region, sizeof region, 1000) > 0);
    size_t before = resident_pages(region, sizeof region);
    AO_malloc_trim();
    assert_int_equal(resident_pages(region, sizeof region), before);
}

/* A large object's mapping may end in the middle of an aligned 512 KiB, and other memory begin there. */
TEST(region_behind_a_large_object)
{
    enum { LARGE_BYTES = 1300 * 1024, BEHIND_BYTES = 64 * 1024 };

    AO_malloc_enable_mmap();
    char *large = AO_malloc(LARGE_BYTES);
    assert_non_null(large);
    char *behind = large + AO_malloc_usable_size(large);
    void *got =
        mmap(behind, BEHIND_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (got != behind)
        test_skip("other memory follows the large object");
    assert_refused(large + LARGE_BYTES / 2, BEHIND_BYTES);
    assert_added(behind, BEHIND_BYTES);
    AO_malloc_set_limit(0);
    AO_free(large);
    assert_true(bytes_obtained(behind, BEHIND_BYTES, 1000) > BEHIND_BYTES / 2);
    assert_true(bytes_obtained(behind, BEHIND_BYTES, 1000) > BEHIND_BYTES / 2);
}
