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
 *   freed     memory is kept as kept.h says, or given back.
 *
 * A thread killed between two steps loses one mapping.
 */
#include "fail.h"
#include "idle.h"
#include "kept.h"
#include "mapping.h"
#include "source.h"

#define FAULT_INSIDE "not a block: inside a large one"
#define FAULT_GONE "not in use: freed already or resized by another thread"

static uintptr_t entry_for(size_t bytes)
{
    return (uintptr_t)(bytes >> AOMA_PAGE_SHIFT) << AOMA_ENTRY_SHIFT | AOMA_ENTRY_MAPPING;
}

static size_t round_to_page(size_t bytes)
{
    return (bytes + AOMA_PAGE_BYTES - 1) & ~(AOMA_PAGE_BYTES - 1);
}

/* Whole windows, so that mappings lie side by side and what is left of one can begin another. */
static size_t round_to_windows(size_t bytes)
{
    return (bytes + AOMA_SEGMENT_MASK) & ~(size_t)AOMA_SEGMENT_MASK;
}

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

/* At least a window. A huge page only where that is little beside the length: the gaps would keep neighbours apart. */
static size_t natural_align(size_t bytes, size_t align)
{
    size_t natural = bytes > AOMA_KEPT_LONGEST_BYTES ? AOMA_GROUP_BYTES : AOMA_SEGMENT_BYTES;

    return align > natural ? align : natural;
}

size_t aoma_mapping_bytes(const void *block, uintptr_t entry, const char *function)
{
    if (!(entry & AOMA_ENTRY_MAPPING) || ((uintptr_t)block & AOMA_SEGMENT_MASK) != 0)
        aoma_fail(function, block, FAULT_INSIDE);
    return aoma_entry_mapping_bytes(entry);
}

/* What is kept beyond what is in use stays within the share of memory that may lie idle. */
static void release_surplus(void)
{
    size_t surplus = aoma_idle_surplus();
    size_t excess = surplus ? aoma_kept_counted_excess() : 0;

    if (excess)
        (void)aoma_kept_release(surplus < excess ? surplus : excess);
}

void aoma_mapping_give(void *block, uintptr_t entry, const char *function)
{
    size_t bytes = leave(block, entry, function);

    aoma_kept_count_use(0, bytes);
    aoma_kept_put(block, bytes);
    release_surplus();
}

size_t aoma_mapping_flush(void)
{
    return aoma_kept_release(SIZE_MAX);
}

/* Moves the pages, not the content, to be longer; NULL: nothing has changed. */
static void *move(void *block, size_t old_bytes, size_t new_bytes)
{
    void *target = aoma_source_reserve(new_bytes, natural_align(new_bytes, 1));

    if (!target)
        return NULL;
    if (!can_enter(target, new_bytes)) {
        aoma_source_unreserve(target, new_bytes);
        return NULL;
    }
    return aoma_source_move(block, old_bytes, target, new_bytes) ? target : NULL;
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
    return new_bytes > old_bytes ? move(block, old_bytes, new_bytes) : NULL;
}

/* ---- the whole ---- */

/* *got bytes; where the last window's rest is not to be had, only as many pages as bytes need. */
static AOMA_NOINLINE void *map_new(size_t bytes, size_t align, size_t *got)
{
    size_t pages = round_to_page(bytes);
    void *mem = aoma_source_map(*got, natural_align(*got, align));
    if (!mem && pages < *got) {
        *got = pages;
        mem = aoma_source_map(pages, natural_align(pages, align));
    }
    return mem;
}

/* Longer by moving if need be; NULL: it is as it was. Whether the page map has room there is left to the caller. */
static void *lengthen(void *mem, size_t have, size_t bytes)
{
    if (aoma_source_resize(mem, have, bytes))
        return mem;
    void *target = aoma_source_may_take(bytes - have) ? aoma_source_reserve(bytes, AOMA_SEGMENT_BYTES) : NULL;

    return target && aoma_source_move(mem, have, target, bytes) ? target : NULL;
}

/*
 * Kept memory that is too short, but by half at most, is lengthened: its pages are there already, and moving them costs
 * less than as many page faults. *had: what it was; 0 with NULL.
 */
static AOMA_NOINLINE void *take_too_short(size_t bytes, size_t *had)
{
    void *mem;

    *had = aoma_kept_take_longest(bytes / 2, bytes, &mem);
    if (!*had)
        return NULL;
    void *longer = lengthen(mem, *had, bytes);
    if (!longer) { /* It makes room for what will be mapped, and is not tried again. */
        aoma_source_unmap(mem, *had);
        *had = 0;
    }
    return longer;
}

static size_t at_least_a_window(size_t bytes)
{
    return bytes > AOMA_SEGMENT_BYTES ? bytes : AOMA_SEGMENT_BYTES;
}

/* (Calls side by side, so that the stack of one does not add to that of another.) */
void *aoma_mapping_take(size_t bytes, size_t align, bool *clean)
{
    size_t least = at_least_a_window(bytes);
    size_t got = round_to_windows(least);
    void *mem = aoma_kept_take(&got, align > AOMA_SEGMENT_BYTES ? align : AOMA_SEGMENT_BYTES);
    size_t had = mem ? got : 0;

    if (!mem && align <= AOMA_SEGMENT_BYTES)
        mem = take_too_short(got, &had);
    aoma_kept_give_way(got - had);
    *clean = !mem;
    if (!mem)
        mem = map_new(least, align, &got);
    if (mem && !can_enter(mem, got)) {
        aoma_source_unmap(mem, got);
        return NULL;
    }
    if (mem) {
        aoma_kept_count_use(got, 0);
        enter(mem, got);
    }
    return mem;
}

/* How long to make it, so that what it has serves where it can. */
static size_t length_for(size_t old_bytes, size_t bytes)
{
    size_t windows = round_to_windows(bytes);

    return old_bytes >= bytes && old_bytes <= windows ? old_bytes : windows;
}

static void populate_ahead(char *block, size_t old_bytes, size_t new_bytes, size_t bytes)
{
    size_t ahead = aoma_source_ahead(bytes);

    if (new_bytes > old_bytes)
        aoma_source_populate(block + old_bytes, ahead < new_bytes - old_bytes ? ahead : new_bytes - old_bytes);
}

void *aoma_mapping_resize(void *block, uintptr_t entry, size_t bytes, const char *function)
{
    size_t old_bytes = leave(block, entry, function);
    size_t new_bytes = length_for(old_bytes, bytes);

    if (new_bytes > old_bytes)
        aoma_kept_give_way(new_bytes - old_bytes);
    void *resized = resize_or_move(block, old_bytes, new_bytes);
    if (!resized && aoma_mapping_flush())
        resized = resize_or_move(block, old_bytes, new_bytes);
    if (!resized && new_bytes > round_to_page(at_least_a_window(bytes))) {
        new_bytes = round_to_page(at_least_a_window(bytes));
        resized = resize_or_move(block, old_bytes, new_bytes);
    }
    if (resized) {
        aoma_kept_count_use(new_bytes, old_bytes);
        enter(resized, new_bytes);
        populate_ahead(resized, old_bytes, new_bytes, bytes);
    } else {
        enter(block, old_bytes);
    }
    return resized;
}
