/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Correctness: between two CASes on its entry a mapping has one holder, the block's user.
 *
 *   free      CAS to 0, and only then the memory is unmapped or kept, so an address that the kernel gives out again
 *             finds an entry of 0.
 *   resize    CAS to 0 as well, so a free() of the same block at the same time is caught; then a new entry where the
 *             memory is afterwards.
 *   interior  these entries serve only to recognise wrong pointers and overlapping regions.
 *   cache     a slot holds one freed mapping in one word, taken and put by CAS; a mapping is in one slot or in one
 *             thread's hands.
 *
 * A thread killed between two steps loses one mapping.
 */
#include "atomics.h"
#include "fail.h"
#include "mapping.h"
#include "segment.h"
#include "source.h"

#define AOMA_CACHE_SLOTS 16u
/*
 * A kept mapping serves requests of half its length and more;
 * what exceeds the request by more than 1/8 of it goes back.
 */
#define AOMA_CACHE_SLACK_SHIFT 3
#define AOMA_SLOT_PAGES_BITS 28
#define AOMA_SLOT_PAGES_MASK (((uint64_t)1 << AOMA_SLOT_PAGES_BITS) - 1)

#define FAULT_INSIDE "not a block: inside a large one"
#define FAULT_GONE "not in use: freed already or resized by another thread"

/* Address >> 12 above, number of pages below; 0: empty. Pages here are 4 KiB everywhere. */
static struct aoma_word cache[AOMA_CACHE_SLOTS];

static uintptr_t entry_for(size_t bytes)
{
    return (uintptr_t)(bytes >> AOMA_PAGE_SHIFT) << AOMA_ENTRY_SHIFT | AOMA_ENTRY_MAPPING;
}

static size_t round_to_page(size_t bytes)
{
    return (bytes + AOMA_PAGE_BYTES - 1) & ~(AOMA_PAGE_BYTES - 1);
}

/* ---- the cache ---- */

static uintptr_t slot_address(uint64_t slot)
{
    return (uintptr_t)(slot >> AOMA_SLOT_PAGES_BITS << 12);
}

static size_t slot_bytes(uint64_t slot)
{
    return (size_t)(slot & AOMA_SLOT_PAGES_MASK) << 12;
}

/* Whether there was room, in slots and in dirty memory. */
static bool cache_put(void *mem, size_t bytes)
{
    uint64_t slot = (uint64_t)((uintptr_t)mem >> 12) << AOMA_SLOT_PAGES_BITS | bytes >> 12;

    if (bytes >> 12 > AOMA_SLOT_PAGES_MASK || aoma_segment_dirty_free_bytes() + bytes > aoma_segment_dirty_free_limit())
        return false;
    aoma_segment_count_dirty_free(bytes, 0);
    for (unsigned i = 0; i < AOMA_CACHE_SLOTS; i++) {
        uint64_t empty = 0;
        if (aoma_load_relaxed(&cache[i]) == 0 && aoma_cas_release(&cache[i], &empty, slot))
            return true;
    }
    aoma_segment_count_dirty_free(0, bytes);
    return false;
}

static bool slot_suits(uint64_t slot, size_t bytes, size_t align)
{
    return slot && slot_bytes(slot) >= bytes && slot_bytes(slot) / 2 <= bytes &&
           (slot_address(slot) & (align - 1)) == 0;
}

/* The mapping is the caller's; how much of it is left. */
static size_t cut_to_size(uintptr_t address, size_t have, size_t bytes)
{
    if (have - bytes <= bytes >> AOMA_CACHE_SLACK_SHIFT)
        return have;
    aoma_source_unmap((void *)(address + bytes), have - bytes);
    return bytes;
}

static void *cache_take(size_t bytes, size_t align, size_t *got_bytes)
{
    for (unsigned i = 0; i < AOMA_CACHE_SLOTS; i++) {
        uint64_t slot = aoma_load_relaxed(&cache[i]);

        while (slot_suits(slot, bytes, align)) {
            if (aoma_cas_acquire(&cache[i], &slot, 0)) {
                aoma_segment_count_dirty_free(0, slot_bytes(slot));
                *got_bytes = cut_to_size(slot_address(slot), slot_bytes(slot), bytes);
                return (void *)slot_address(slot);
            }
        }
    }
    return NULL;
}

size_t aoma_mapping_flush(void)
{
    size_t flushed = 0;

    for (unsigned i = 0; i < AOMA_CACHE_SLOTS; i++) {
        uint64_t slot = aoma_load_relaxed(&cache[i]);

        if (slot && aoma_cas_acquire(&cache[i], &slot, 0)) {
            aoma_segment_count_dirty_free(0, slot_bytes(slot));
            aoma_source_unmap((void *)slot_address(slot), slot_bytes(slot));
            flushed += slot_bytes(slot);
        }
    }
    return flushed;
}

/* ---- mappings ---- */

/* Whether the page map has room for a mapping there. Once true it stays true for the holder of that address space. */
static bool can_enter(const void *mem, size_t bytes)
{
    uintptr_t low = (uintptr_t)mem;

    return aoma_page_map_reserve(low, low + bytes, NULL) && !aoma_entry_is_segment(aoma_page_map_get(low));
}

static void enter(const void *mem, size_t bytes)
{
    uintptr_t low = (uintptr_t)mem;

    aoma_page_map_set(low, entry_for(bytes));
    /* A window that the mapping only reaches into may be that of a segment, which has more use for its entry. */
    aoma_page_map_change_interior(low, low + bytes, 0, AOMA_ENTRY_INTERIOR);
}

/* Takes the mapping out of the page map: it is the caller's. Aborts if it is not there any more. */
static size_t leave(void *block, uintptr_t entry, const char *function)
{
    size_t bytes = aoma_mapping_bytes(block, entry, function);

    if (!aoma_page_map_replace((uintptr_t)block, entry, 0))
        aoma_fail(function, block, FAULT_GONE);
    aoma_page_map_change_interior((uintptr_t)block, (uintptr_t)block + bytes, AOMA_ENTRY_INTERIOR, 0);
    return bytes;
}

/* At least a window, and a huge page where that may fit. */
static size_t natural_align(size_t bytes, size_t align)
{
    size_t natural = bytes >= AOMA_GROUP_BYTES ? AOMA_GROUP_BYTES : AOMA_SEGMENT_BYTES;

    return align > natural ? align : natural;
}

void *aoma_mapping_take(size_t bytes, size_t align, bool *clean)
{
    size_t got = round_to_page(bytes > AOMA_SEGMENT_BYTES ? bytes : AOMA_SEGMENT_BYTES);
    void *mem = cache_take(got, align > AOMA_SEGMENT_BYTES ? align : AOMA_SEGMENT_BYTES, &got);

    *clean = !mem;
    if (!mem)
        mem = aoma_source_map(got, natural_align(got, align));
    if (mem && !can_enter(mem, got)) {
        aoma_source_unmap(mem, got);
        return NULL;
    }
    if (mem)
        enter(mem, got);
    return mem;
}

size_t aoma_mapping_bytes(const void *block, uintptr_t entry, const char *function)
{
    if (!(entry & AOMA_ENTRY_MAPPING) || ((uintptr_t)block & AOMA_SEGMENT_MASK) != 0)
        aoma_fail(function, block, FAULT_INSIDE);
    return aoma_entry_mapping_bytes(entry);
}

void aoma_mapping_give(void *block, uintptr_t entry, const char *function)
{
    size_t bytes = leave(block, entry, function);

    if (!cache_put(block, bytes))
        aoma_source_unmap(block, bytes);
}

/* Moves the pages, not the content; NULL: nothing has changed. */
static void *move(void *block, size_t old_bytes, size_t new_bytes)
{
    void *target = aoma_source_reserve(new_bytes, natural_align(new_bytes, 1));

    if (!target)
        return NULL;
    if (can_enter(target, new_bytes) && aoma_source_move(block, old_bytes, target, new_bytes))
        return target;
    aoma_source_unreserve(target, new_bytes);
    return NULL;
}

/* Where the block is then; NULL: it is as it was. */
static void *resize_or_move(void *block, size_t old_bytes, size_t new_bytes)
{
    if (new_bytes == old_bytes)
        return block;
    /* Before the page map is extended for a length that will not come about: what that takes is never given back. */
    if (new_bytes > old_bytes && !aoma_source_may_take(new_bytes - old_bytes))
        return NULL;
    if (can_enter(block, new_bytes) && aoma_source_resize(block, old_bytes, new_bytes))
        return block;
    return move(block, old_bytes, new_bytes);
}

void *aoma_mapping_resize(void *block, uintptr_t entry, size_t bytes, const char *function)
{
    size_t new_bytes = round_to_page(bytes);
    size_t old_bytes = leave(block, entry, function);
    void *resized = resize_or_move(block, old_bytes, new_bytes);

    if (!resized && aoma_mapping_flush())
        resized = resize_or_move(block, old_bytes, new_bytes);
    if (resized)
        enter(resized, new_bytes);
    else
        enter(block, old_bytes);
    return resized;
}
