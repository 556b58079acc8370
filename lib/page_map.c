/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

#include "page_map.h"

struct aoma_ptr aoma_page_map_root[(size_t)1 << AOMA_PAGE_MAP_ROOT_BITS];

/* The static heap's, each bound to its slot: whoever installs them, and be it many threads at once, does the same. */
static struct aoma_page_map_leaf home_leaves[AOMA_PAGE_MAP_LEAVES_HOME];

/* For regions in the time before mmap. */
static struct aoma_page_map_leaf static_leaves[AOMA_PAGE_MAP_LEAVES_STATIC];
static struct aoma_word static_leaves_taken; /* a bit each */

static struct aoma_page_map_leaf *take_static_leaf(void)
{
    uint64_t taken = aoma_load_relaxed(&static_leaves_taken);
    unsigned i;

    do {
        i = aoma_lowest_bit(~taken);
        if (i >= AOMA_PAGE_MAP_LEAVES_STATIC)
            return NULL;
    } while (!aoma_cas_full(&static_leaves_taken, &taken, taken | (uint64_t)1 << i));
    return &static_leaves[i];
}

static void return_leaf(struct aoma_page_map_leaf *leaf, struct aoma_spare *spare)
{
    size_t i = (size_t)(leaf - static_leaves);

    if (leaf >= static_leaves && i < AOMA_PAGE_MAP_LEAVES_STATIC)
        aoma_fetch_clear_full(&static_leaves_taken, (uint64_t)1 << i);
    else
        aoma_source_metadata_return(leaf, sizeof *leaf, spare);
}

static bool install_leaf(struct aoma_ptr *slot, struct aoma_spare *spare)
{
    struct aoma_page_map_leaf *leaf = take_static_leaf();

    if (!leaf)
        leaf = aoma_source_metadata(sizeof *leaf, spare);
    if (!leaf)
        return false;
    if (!aoma_ptr_cas_full(slot, 0, (uintptr_t)leaf))
        return_leaf(leaf, spare); /* never published, so still all zero */
    return true;
}

static struct aoma_ptr *root_slot(uintptr_t address)
{
    return &aoma_page_map_root[address >> AOMA_PAGE_MAP_LEAF_SHIFT];
}

static struct aoma_hint *entry_of(uintptr_t address)
{
    struct aoma_page_map_leaf *leaf = (struct aoma_page_map_leaf *)aoma_ptr_load_acquire(root_slot(address));

    return &leaf->entry[(address >> AOMA_SEGMENT_SHIFT) & ((1u << AOMA_PAGE_MAP_LEAF_BITS) - 1)];
}

void aoma_page_map_reserve_home(uintptr_t low, uintptr_t high)
{
    struct aoma_ptr *first = root_slot(low);

    for (struct aoma_ptr *slot = first; slot <= root_slot(high - 1); slot++)
        (void)aoma_ptr_cas_full(slot, 0, (uintptr_t)&home_leaves[slot - first]);
}

bool aoma_page_map_reserve(uintptr_t low, uintptr_t high, struct aoma_spare *spare)
{
    if (!aoma_page_map_covers(low, high))
        return false;
    struct aoma_ptr *last = root_slot(high - 1);

    for (struct aoma_ptr *slot = root_slot(low); slot <= last; slot++) {
        if (!aoma_ptr_load_acquire(slot) && !install_leaf(slot, spare))
            return false;
    }
    return true;
}

size_t aoma_page_map_missing_leaves(uintptr_t low, uintptr_t high)
{
    size_t left = AOMA_PAGE_MAP_LEAVES_STATIC - aoma_count_bits(aoma_load_relaxed(&static_leaves_taken));
    size_t missing = 0;

    for (struct aoma_ptr *slot = root_slot(low); slot <= root_slot(high - 1); slot++)
        missing += !aoma_ptr_load_acquire(slot);
    return missing > left ? missing - left : 0;
}

bool aoma_page_map_replace(uintptr_t address, uintptr_t expected, uintptr_t entry)
{
    size_t seen = expected;

    return aoma_hint_cas(entry_of(address), &seen, entry);
}

void aoma_page_map_set(uintptr_t address, uintptr_t entry)
{
    aoma_hint_set(entry_of(address), entry);
}

void aoma_page_map_change_interior(uintptr_t low, uintptr_t high, uintptr_t expected, uintptr_t entry)
{
    uintptr_t last = (high - 1) & ~(uintptr_t)AOMA_SEGMENT_MASK;

    /* The last may be that of the address space. */
    for (uintptr_t window = low & ~(uintptr_t)AOMA_SEGMENT_MASK; window != last;) {
        window += AOMA_SEGMENT_BYTES;
        (void)aoma_page_map_replace(window, expected, entry);
    }
}
