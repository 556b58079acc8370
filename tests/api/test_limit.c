/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* AO_malloc_set_limit and AO_malloc_trim: what is taken from the operating system, what goes back. */

#include "chain.h"
#include "process.h"
#include "rng.h"
#include "test.h"

#include <aomalloc.h>

#include <errno.h>
#include <string.h>

/* Obtains all that there is in blocks of a size, checks what the process mapped for it, and frees all. */
static size_t obtain_all(size_t size, size_t limit)
{
    struct chain chain = {0};
    size_t mapped = process_mapped_bytes();

    errno = 0;
    chain_exhaust(&chain, size);
    assert_int_equal(errno, ENOMEM);
    if (!test_instrumented())
        assert_true(process_mapped_bytes() <= mapped + limit);
    size_t obtained = chain.bytes;
    assert_true(obtained <= limit + TEST_HEAP_BYTES);
    chain_free(&chain);
    return obtained;
}

TEST(limit_0_leaves_the_static_heap)
{
    AO_malloc_enable_mmap();
    AO_malloc_set_limit(0);
    assert_true(obtain_all(1000, 0) >= TEST_HEAP_BYTES * 80 / 100);
    assert_true(obtain_all(3000, 0) >= TEST_HEAP_BYTES * 80 / 100);
}

static void obey_limit(size_t size, size_t limit)
{
    AO_malloc_enable_mmap();
    AO_malloc_set_limit(limit);
    /* Half of the limit at least: a block of just over half a segment leaves the rest of it to smaller ones. */
    assert_true(obtain_all(size, limit) >= limit / 2);
}

TEST(limit_is_obeyed_by_small_blocks)
{
    obey_limit(100, 16 * MIB);
}

TEST(limit_is_obeyed_by_large_blocks)
{
    obey_limit(300 * KIB, 16 * MIB);
}

TEST(limit_is_obeyed_by_own_mappings)
{
    obey_limit(3 * MIB, 64 * MIB);
}

TEST(limit_is_obeyed_to_the_byte_nearly)
{
    for (size_t limit = 0; limit < 6 * MIB; limit += 300 * KIB) {
        AO_malloc_enable_mmap();
        AO_malloc_set_limit(limit);
        size_t mapped = process_mapped_bytes();
        struct chain chain = {0};
        while (chain_add(&chain, 700 * KIB) || chain_add(&chain, 2000))
            ;
        if (!test_instrumented())
            assert_true(process_mapped_bytes() <= mapped + limit);
        assert_true(chain.bytes <= limit + TEST_HEAP_BYTES);
        chain_free(&chain);
    }
}

TEST(limit_can_be_raised_again)
{
    struct chain chain = {0};

    AO_malloc_enable_mmap();
    AO_malloc_set_limit(0);
    chain_exhaust(&chain, 5000);
    AO_malloc_set_limit(8 * MIB);
    size_t before = chain.bytes;
    chain_exhaust(&chain, 5000);
    assert_true(chain.bytes >= before + 4 * MIB);
    AO_malloc_set_limit(SIZE_MAX);
    before = chain.bytes;
    while (chain.bytes < before + 64 * MIB)
        assert_true(chain_add(&chain, 5000));
    chain_free(&chain);
}

TEST(lowered_limit_takes_nothing_back)
{
    struct chain chain = {0};

    AO_malloc_enable_mmap();
    while (chain.bytes < 16 * MIB) {
        assert_true(chain_add(&chain, 9000));
        memset((char *)chain.first + sizeof(void *), 0x3c, 9000 - sizeof(void *));
    }
    AO_malloc_set_limit(1 * MIB);
    errno = 0;
    assert_null(AO_malloc(TEST_HEAP_BYTES + 32 * MIB));
    assert_int_equal(errno, ENOMEM);
    for (char *block = chain.first; block; block = *(void **)(void *)block)
        for (size_t i = sizeof(void *); i < 9000; i++)
            CHECK(block[i] == 0x3c);
    chain_free(&chain);

    /* What is mapped already may serve again. */
    void *block = AO_malloc(9000);
    assert_non_null(block);
    AO_free(block);
}

TEST(freed_mappings_count_no_more)
{
    AO_malloc_enable_mmap();
    AO_malloc_set_limit(32 * MIB);
    for (unsigned i = 0; i < 50; i++) {
        void *block = AO_malloc(20 * MIB);
        assert_non_null(block);
        AO_free(block);
    }
}

/* Growing a mapping of its own counts as well. */
TEST(limit_is_obeyed_by_realloc)
{
    AO_malloc_enable_mmap();
    AO_malloc_set_limit(16 * MIB);
    void *block = AO_malloc(8 * MIB);
    assert_non_null(block);
    errno = 0;
    assert_null(AO_realloc(block, 40 * MIB));
    assert_int_equal(errno, ENOMEM);
    void *grown = AO_realloc(block, 12 * MIB);
    assert_non_null(grown);
    AO_free(grown);
}

TEST(nothing_is_mapped_before_enable_mmap)
{
    struct chain chain = {0};
    size_t mapped = process_mapped_bytes();

    AO_malloc_set_limit(64 * MIB);
    chain_exhaust(&chain, 1000);
    if (!test_instrumented())
        assert_int_equal(process_mapped_bytes(), mapped);
    assert_true(chain.bytes <= TEST_HEAP_BYTES);
}

TEST(trim_does_nothing_before_enable_mmap)
{
    struct chain chain = {0};

    assert_int_equal(AO_malloc_trim(), 0);
    chain_exhaust(&chain, 1000);
    chain_free(&chain);
    assert_int_equal(AO_malloc_trim(), 0);
}

static void fill_dirty(struct chain *chain, size_t size, size_t bytes)
{
    while (chain->bytes < bytes) {
        assert_true(chain_add(chain, size));
        memset((char *)chain->first + sizeof(void *), 0xff, size - sizeof(void *));
    }
}

static void trim_gives_back(size_t size)
{
    enum { ALLOWED_MIB = 3 };
    struct chain chain = {0};

    AO_malloc_enable_mmap();
    size_t before = process_resident_bytes();
    fill_dirty(&chain, size, 32 * MIB);
    assert_true(process_resident_bytes() >= before + 30 * MIB);
    chain_free(&chain);
    AO_malloc_trim();
    if (!test_instrumented())
        assert_in_range(process_resident_bytes(), 0, before + ALLOWED_MIB * MIB);
}

TEST(trim_gives_back_small_blocks)
{
    trim_gives_back(100);
}

TEST(trim_gives_back_middle_blocks)
{
    trim_gives_back(10000);
}

TEST(trim_gives_back_large_blocks)
{
    trim_gives_back(200 * KIB);
}

TEST(trim_gives_back_own_mappings)
{
    trim_gives_back(4 * MIB);
}

/* Fills bytes with blocks of random lengths, which are freed in any order: what stays without a trim. */
static void peak_goes_by(size_t before, size_t bytes, size_t least, size_t most)
{
    static void *blocks[1024];
    struct rng rng = rng_stream(test_seed(), least + most);
    size_t count = 0;

    for (size_t live = 0; live < bytes && count < 1024; count++) {
        size_t size = least + rng_below(&rng, most - least + 1);
        blocks[count] = AO_malloc(size);
        CHECK(blocks[count]);
        memset(blocks[count], 0xff, size);
        live += size;
    }
    size_t peak = process_resident_bytes() - before;
    CHECK(peak >= bytes);
    while (count) {
        size_t i = rng_below(&rng, count--);
        AO_free(blocks[i]);
        blocks[i] = blocks[count];
    }
    if (!test_instrumented())
        assert_in_range(process_resident_bytes(), 0, before + peak / 8 + 8 * MIB);
}

TEST(a_peak_of_large_blocks_goes_by_itself)
{
    static const struct {
        size_t least, most;
    } ranges[] = {
        {100 * KIB, 500 * KIB}, {513 * KIB, 513 * KIB}, {513 * KIB, 4 * MIB}, {100 * KIB, 4 * MIB}, {8 * MIB, 48 * MIB},
    };

    AO_malloc_enable_mmap();
    size_t before = process_resident_bytes();
    for (size_t i = 0; i < 2 * sizeof ranges / sizeof ranges[0]; i++) /* and after another */
        peak_goes_by(before, 128 * MIB, ranges[i / 2].least, ranges[i / 2].most);
}

/* The same of smaller blocks, more of them than peak_goes_by() keeps. */
static void small_peak_goes_by(size_t least, unsigned doublings)
{
    struct rng rng = rng_stream(test_seed(), least);
    struct chain chain = {0};
    size_t bytes = (test_instrumented() ? 8 : 96) * MIB;
    size_t peak = 0;

    AO_malloc_enable_mmap();
    size_t before = process_resident_bytes();
    for (unsigned round = 0; round < 2; round++) {
        while (chain.bytes < bytes) {
            size_t size = rng_size(&rng, least, doublings);
            assert_true(chain_add(&chain, size));
            memset((char *)chain.first + sizeof(void *), 0xff, size - sizeof(void *));
        }
        peak = process_resident_bytes() - before;
        assert_true(peak >= bytes - bytes / 8);
        chain_free(&chain);
        if (!test_instrumented())
            assert_in_range(process_resident_bytes(), 0, before + peak / 8 + 8 * MIB);
    }
    AO_malloc_trim();
    if (!test_instrumented())
        assert_in_range(process_resident_bytes(), 0, before + 2 * MIB + peak / 50); /* and metadata */
}

TEST(a_peak_of_small_blocks_goes_by_itself)
{
    small_peak_goes_by(16, 6);
}

TEST(a_peak_of_middle_blocks_goes_by_itself)
{
    small_peak_goes_by(1000, 6);
}

/* Blocks that come and go beside others in use take no more than these at their most, and half of them. */
TEST(large_blocks_that_come_and_go_keep_within_bounds)
{
    enum { BLOCKS = 64 };
    void *blocks[BLOCKS] = {0};
    size_t sizes[BLOCKS] = {0}, live = 0, most_live = 0;
    struct rng rng = rng_stream(test_seed(), 4);

    test_require_mremap();
    AO_malloc_enable_mmap();
    size_t before = process_resident_bytes(), most = 0;
    for (unsigned step = 0; step < 1000; step++) {
        size_t i = rng_below(&rng, BLOCKS);
        AO_free(blocks[i]);
        live -= sizes[i];
        sizes[i] = 513 * KIB + rng_below(&rng, 3 * MIB);
        blocks[i] = AO_malloc(sizes[i]);
        assert_non_null(blocks[i]);
        memset(blocks[i], 0xff, sizes[i]);
        live += sizes[i];
        most_live = live > most_live ? live : most_live;
        size_t resident = process_resident_bytes() - before;
        most = resident > most ? resident : most;
    }
    if (!test_instrumented())
        assert_in_range(most, 0, most_live + most_live / 2 + 8 * MIB);
}

/* The number is what left memory: of a megabyte that was dirty and is free, at least most. */
TEST(trim_tells_the_bytes)
{
    struct chain chain = {0};

    AO_malloc_enable_mmap();
    fill_dirty(&chain, 1000, TEST_HEAP_BYTES / 2);
    size_t resident = process_resident_bytes();
    chain_free(&chain);
    size_t told = AO_malloc_trim();
    assert_in_range(told, TEST_HEAP_BYTES / 4, TEST_HEAP_BYTES + 4 * MIB);
    if (!test_instrumented())
        assert_true(process_resident_bytes() <= resident - TEST_HEAP_BYTES / 4);
}

TEST(trim_keeps_blocks_in_use)
{
    struct chain kept = {0}, freed = {0};

    AO_malloc_enable_mmap();
    for (unsigned i = 0; i < 2000; i++) {
        fill_dirty(&freed, 600, freed.bytes + 6000);
        fill_dirty(&kept, 600, kept.bytes + 600);
    }
    chain_free(&freed);
    AO_malloc_trim();
    for (unsigned char *block = kept.first; block; block = *(void **)(void *)block)
        for (size_t i = sizeof(void *); i < 600; i++)
            CHECK(block[i] == 0xff);
    chain_free(&kept);
    AO_malloc_trim();
}

TEST(memory_is_usable_after_trim)
{
    AO_malloc_enable_mmap();
    for (unsigned i = 0; i < 5; i++) {
        static const size_t sizes[] = {16, 100, 5000, 70000, 400000, 3 * MIB};
        for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
            struct chain chain = {0};
            fill_dirty(&chain, sizes[s], 6 * MIB);
            chain_free(&chain);
            AO_malloc_trim();
            unsigned char *zero = AO_calloc(1, sizes[s]);
            assert_non_null(zero);
            for (size_t at = 0; at < sizes[s]; at++)
                CHECK(zero[at] == 0);
            AO_free(zero);
        }
    }
}
