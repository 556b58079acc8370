/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Address -> what is there, per window of a segment's size: two levels, the root constant-initialised to "nothing".
 *
 * An entry is one of
 *   0                                nothing of ours
 *   address of a struct aoma_segment + AOMA_ENTRY_SEGMENT; once set it stays
 *   pages << 3 | AOMA_ENTRY_MAPPING  an own mapping of so many pages begins at this window's first byte
 *   AOMA_ENTRY_INTERIOR              a window that begins inside an own mapping; its end may be somebody else's memory
 * Who may write: an entry of 0 by whoever has just been given that address space by the system (nobody else can claim
 * it), a segment's by CAS from 0, a mapping's by CAS by the thread that frees or resizes it, so that of two frees only
 * one succeeds. Leaves are published by CAS and never taken away.
 */
#ifndef AOMA_PAGE_MAP_H
#define AOMA_PAGE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "atomics.h"
#include "compiler.h"
#include "source.h"
#include "units.h"

/* Bit 0 tells segments from all else: one test on the way to a block. */
#define AOMA_ENTRY_SEGMENT ((uintptr_t)1)
#define AOMA_ENTRY_MAPPING ((uintptr_t)2)
#define AOMA_ENTRY_INTERIOR ((uintptr_t)4)
#define AOMA_ENTRY_SHIFT 3

struct aoma_segment;

struct aoma_page_map_leaf {
    struct aoma_hint entry[1u << AOMA_PAGE_MAP_LEAF_BITS];
};

extern struct aoma_ptr aoma_page_map_root[(size_t)1 << AOMA_PAGE_MAP_ROOT_BITS];

/*
 * The entry of any address, also of one that was never ours. The root's acquire pairs with the CAS that published the
 * leaf. The entry itself is read relaxed: a legitimate caller got its pointer through a happens-before chain from the
 * entry's writer.
 */
AOMA_INLINE uintptr_t aoma_page_map_get(uintptr_t address)
{
    uintptr_t window = address >> AOMA_SEGMENT_SHIFT;
    size_t root = (size_t)(window >> AOMA_PAGE_MAP_LEAF_BITS);

#if UINTPTR_MAX > 0xffffffffu
    if (aoma_unlikely(root >= (size_t)1 << AOMA_PAGE_MAP_ROOT_BITS))
        return 0;
#endif
    struct aoma_page_map_leaf *leaf = (struct aoma_page_map_leaf *)aoma_ptr_load_acquire(&aoma_page_map_root[root]);
    if (aoma_unlikely(!leaf))
        return 0;
    return aoma_hint_get(&leaf->entry[window & ((1u << AOMA_PAGE_MAP_LEAF_BITS) - 1)]);
}

AOMA_INLINE bool aoma_entry_is_segment(uintptr_t entry)
{
    return entry & AOMA_ENTRY_SEGMENT;
}

/* The segment, or NULL. */
AOMA_INLINE struct aoma_segment *aoma_entry_segment(uintptr_t entry)
{
    return aoma_entry_is_segment(entry) ? (struct aoma_segment *)(entry - AOMA_ENTRY_SEGMENT) : NULL;
}

/* The length of the own mapping that begins at the entry's window; 0 if none does. */
AOMA_INLINE size_t aoma_entry_mapping_bytes(uintptr_t entry)
{
    return entry & AOMA_ENTRY_MAPPING ? (size_t)(entry >> AOMA_ENTRY_SHIFT) << AOMA_PAGE_SHIFT : 0;
}

/* Whether [low, high) is not empty and the map has room for it. high is 0 behind the last byte of 32 bits. */
AOMA_INLINE bool aoma_page_map_covers(uintptr_t low, uintptr_t high)
{
#if UINTPTR_MAX > 0xffffffffu
    if ((high - 1) >> AOMA_ADDRESS_BITS)
        return false;
#endif
    return high - 1 >= low;
}

/* Makes sure that entries of the static heap can be set: always the same addresses, before any other. */
void aoma_page_map_reserve_home(uintptr_t low, uintptr_t high);

/* Makes sure that entries of [low, high) can be set; false when there is no memory for a leaf. */
bool aoma_page_map_reserve(uintptr_t low, uintptr_t high, struct aoma_spare *spare);

/* How many leaves that would need from elsewhere than the static ones. The map must cover the range. */
size_t aoma_page_map_missing_leaves(uintptr_t low, uintptr_t high);

/* On a reserved address: sets the entry if it is expected. */
bool aoma_page_map_replace(uintptr_t address, uintptr_t expected, uintptr_t entry);

/* On a reserved address of a range that the caller holds. */
void aoma_page_map_set(uintptr_t address, uintptr_t entry);

/*
 * On reserved addresses: the entries of all windows that begin
 * in (low, high), but for the one of low, if they are expected.
 */
void aoma_page_map_change_interior(uintptr_t low, uintptr_t high, uintptr_t expected, uintptr_t entry);

#endif /* AOMA_PAGE_MAP_H */
