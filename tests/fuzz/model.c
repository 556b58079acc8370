/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

#include "model.h"
#include "world.h"

#include <aomalloc.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "census.h"
#include "page_map.h"
#include "size_class.h"
#include "source.h"

enum { UNIT = 16, DENSE_BYTES = 256, WORD = sizeof(uint64_t) };

static struct block blocks[MODEL_BLOCKS];
static size_t count;
static uintptr_t freed[MODEL_FREED];
static unsigned freed_next;
static uint64_t next_tag;
static size_t limit;
static bool limit_was_lowered;

/* ---- content ---- */

/* Where a block is marked: densely at the beginning, then in ever larger steps; the same places for all sizes. */
static size_t next_place(size_t at)
{
    return at < DENSE_BYTES ? at + WORD : at + at / 4 / WORD * WORD;
}

static uint64_t word_at(uint64_t tag, size_t at)
{
    return (tag + at) * UINT64_C(0x9e3779b97f4a7c15) | 1; /* never zero */
}

static size_t piece(size_t at, size_t size)
{
    return size - at < WORD ? size - at : WORD;
}

static void write_content(const struct block *block)
{
    char *bytes = (char *)block->address;

    for (size_t at = 0; at < block->size; at = next_place(at)) {
        uint64_t word = word_at(block->tag, at);
        memcpy(bytes + at, &word, piece(at, block->size));
    }
    for (size_t at = block->size; at < block->usable; at += at < block->size + UNIT ? 1 : block->usable / 8 + 1)
        bytes[at] = (char)0xee; /* may be used as well */
}

static bool has_content(uintptr_t address, size_t size, uint64_t tag)
{
    for (size_t at = 0; at < size; at = next_place(at)) {
        uint64_t word = word_at(tag, at);
        if (memcmp((const char *)address + at, &word, piece(at, size)) != 0)
            return false;
    }
    return true;
}

/* All of a block up to 64 KiB, of a larger one a word in each page at most 4096 times, and wherever content is put. */
static bool is_zero(const char *bytes, size_t size)
{
    static const char zeroes[WORD];
    size_t step = size <= 64 * KIB ? WORD : (size / 4096 + 4096) / WORD * WORD;

    for (size_t at = 0; at < size; at += step)
        if (memcmp(bytes + at, zeroes, piece(at, size)) != 0)
            return false;
    for (size_t at = 0; at < size; at = next_place(at))
        if (memcmp(bytes + at, zeroes, piece(at, size)) != 0)
            return false;
    return true;
}

/* ---- the sorted blocks ---- */

/* How many lie below. */
static size_t rank(uintptr_t address)
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = (low + high) / 2;
        if (blocks[middle].address < address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool model_is_block(uintptr_t address)
{
    size_t at = rank(address);

    return at < count && blocks[at].address == address;
}

size_t model_count(void)
{
    return count;
}

const struct block *model_block(size_t index)
{
    return &blocks[index];
}

uintptr_t model_freed(unsigned index)
{
    return freed[index % MODEL_FREED];
}

static bool is_last_word_of_address_space(uintptr_t address, size_t bytes)
{
    return address + bytes < address;
}

static void insert(struct block block)
{
    size_t at = rank(block.address);

    FUZZ_CHECK(!is_last_word_of_address_space(block.address, block.usable));
    FUZZ_CHECK(at == count || block.address + block.usable <= blocks[at].address);
    FUZZ_CHECK(at == 0 || blocks[at - 1].address + blocks[at - 1].usable <= block.address);
    memmove(&blocks[at + 1], &blocks[at], (count - at) * sizeof blocks[0]);
    blocks[at] = block;
    count++;
}

static struct block take_out(size_t index)
{
    struct block block = blocks[index];

    count--;
    memmove(&blocks[index], &blocks[index + 1], (count - index) * sizeof blocks[0]);
    return block;
}

/* ---- operations ---- */

/* With room for those that interrupting operations bring. */
static bool is_full(void)
{
    return count >= MODEL_BLOCKS - 300;
}

/* What a call gave. False: nothing, and it says why. */
static bool is_given(const void *mem, int error)
{
    FUZZ_CHECK(error == (mem ? ERRNO_SENTINEL : ENOMEM));
    return mem != NULL;
}

static void add(void *mem, size_t size, size_t alignment)
{
    struct block block = {(uintptr_t)mem, size, AO_malloc_usable_size(mem), next_tag++};

    FUZZ_CHECK(block.address % alignment == 0);
    FUZZ_CHECK(block.usable >= size && block.usable >= UNIT);
    insert(block);
    write_content(&block);
}

void model_malloc(size_t size)
{
    if (is_full())
        return;
    call_begin();
    void *mem = AO_malloc(size);
    int error = errno;
    call_end();
    if (is_given(mem, error))
        add(mem, size, UNIT);
}

void model_calloc(size_t number, size_t size)
{
    if (is_full())
        return;
    call_begin();
    void *mem = AO_calloc(number, size);
    int error = errno;
    call_end();
    if (!is_given(mem, error))
        return;
    FUZZ_CHECK(number == 0 || size <= SIZE_MAX / number);
    FUZZ_CHECK(is_zero(mem, number * size));
    add(mem, number * size, UNIT);
}

void model_aligned(size_t alignment, size_t size)
{
    bool is_power = alignment && (alignment & (alignment - 1)) == 0;

    if (is_full())
        return;
    call_begin();
    void *mem = AO_aligned_alloc(alignment, size);
    int error = errno;
    call_end();
    if (!is_power)
        FUZZ_CHECK(!mem && error == EINVAL);
    else if (is_given(mem, error))
        add(mem, size, alignment > UNIT ? alignment : UNIT);
}

/* Out of the model before the call: meanwhile the place may be another's. */
void model_realloc(size_t index, size_t size)
{
    struct block block = take_out(index);
    size_t kept = block.size < size ? block.size : size;

    call_begin();
    void *mem = AO_realloc((void *)block.address, size);
    int error = errno;
    call_end();
    if (!is_given(mem, error)) {
        FUZZ_CHECK(size > block.size);
        FUZZ_CHECK(has_content(block.address, block.size, block.tag));
        insert(block);
        return;
    }
    FUZZ_CHECK(has_content((uintptr_t)mem, kept, block.tag));
    add(mem, size, UNIT);
}

static void free_taken_out(const struct block *block)
{
    FUZZ_CHECK(has_content(block->address, block->size, block->tag));
    freed[freed_next++ % MODEL_FREED] = block->address;
    call_begin();
    AO_free((void *)block->address);
    int error = errno;
    call_end();
    FUZZ_CHECK(error == ERRNO_SENTINEL);
}

void model_free(size_t index)
{
    struct block block = take_out(index);

    free_taken_out(&block);
}

void model_usable_size(size_t index)
{
    struct block block = take_out(index);

    call_begin();
    size_t usable = AO_malloc_usable_size((const void *)block.address);
    call_end();
    FUZZ_CHECK(usable == block.usable);
    insert(block);
}

void model_use_null(size_t size)
{
    errno = ERRNO_SENTINEL;
    AO_free(NULL);
    FUZZ_CHECK(AO_malloc_usable_size(NULL) == 0 && errno == ERRNO_SENTINEL);
    call_begin();
    void *mem = AO_realloc(NULL, size);
    int error = errno;
    call_end();
    if (is_given(mem, error))
        add(mem, size, UNIT);
}

void model_enable_mmap(void)
{
    AO_malloc_enable_mmap();
    (void)AO_malloc_mode(); /* turns on fronts, if there are any here */
    cpu_use_virtual();
}

void model_set_limit(size_t bytes)
{
    limit_was_lowered |= bytes < limit;
    limit = bytes;
    AO_malloc_set_limit(bytes);
}

void model_trim(void)
{
    call_begin();
    size_t bytes = AO_malloc_trim();
    int error = errno;
    call_end();
    FUZZ_CHECK(error == ERRNO_SENTINEL);
    FUZZ_CHECK(aoma_source_mmap_enabled() || bytes == 0);
}

void model_add_region(size_t offset, size_t bytes)
{
    char *mem = world_map(offset + bytes + 1);

    if (!mem)
        return;
    memset(mem, 0xcc, offset + bytes < 16 * KIB ? offset + bytes : 16 * KIB); /* any content */
    errno = ERRNO_SENTINEL;
    int status = AO_malloc_add_region(mem + offset, bytes);
    FUZZ_CHECK(status == 0 ? errno == ERRNO_SENTINEL : status == -1 && errno == EINVAL);
    if (status == 0)
        FUZZ_CHECK(AO_malloc_add_region(mem + offset, bytes) == -1 && errno == EINVAL);
}

/* ---- checks ---- */

void model_check_content(void)
{
    for (size_t i = 0; i < count; i++)
        FUZZ_CHECK(has_content(blocks[i].address, blocks[i].size, blocks[i].tag));
}

/* Mappings of their own: they are in no run. */
static size_t mappings(void)
{
    size_t number = 0;

    for (size_t i = 0; i < count; i++) {
        uintptr_t entry = aoma_page_map_get(blocks[i].address);
        FUZZ_CHECK(entry);
        number += !aoma_entry_is_segment(entry);
    }
    return number;
}

void model_check_account(void)
{
    struct aoma_census census;

    aoma_census_take(&census);
    FUZZ_CHECK(census.chunks_taken == census.chunks_in_runs);
    FUZZ_CHECK(census.chunks_taken <= census.chunks_owned);
    FUZZ_CHECK(census.blocks - census.blocks_free - cpu_cached() + census.large + mappings() == count);
    FUZZ_CHECK(aoma_source_mapped_bytes() == world_mapped_bytes());
    FUZZ_CHECK(limit_was_lowered || world_mapped_bytes() <= limit);
}

void model_begin(void)
{
    world_begin();
    count = 0;
    memset(freed, 0, sizeof freed);
    freed_next = 0;
    next_tag = 1;
    limit = SIZE_MAX;
    limit_was_lowered = false;
}

/* Of all blocks in turn every third: not in the order of their addresses. */
void model_end(void)
{
    interrupt_nothing();
    world_refuse(0, 0, 0, 0);
    model_check_content();
    model_check_account();
    while (count)
        model_free(count - 1 - count / 3);
    model_check_account();
    model_trim();
    if (aoma_source_mmap_enabled())
        FUZZ_CHECK(cpu_cached() == 0);
    model_malloc(AOMA_INITIAL_HEAP_KIB * KIB / 2);
    FUZZ_CHECK(count == 1);
    model_check_account();
    model_free(0);
}
