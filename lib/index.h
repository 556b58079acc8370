/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Which segments have something: a bit per (key, segment) in the segment's bank, and above it a bit per (key, bank) in
 * the directory. A set bit is a hint that a searcher verifies in the segment's own word; a clear bit is a promise, kept
 * as index.c argues.
 */
#ifndef AOMA_INDEX_H
#define AOMA_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "segment.h"

#define AOMA_INDEX_NONE UINT32_MAX

/*
 * To be called after the segment's own word has come to have something for key. appeared: this very change made it so
 * (before it the word had nothing); it must be true for one of the callers, and costs a CAS, where false mostly costs a
 * load.
 */
void aoma_index_raise(struct aoma_segment *segment, unsigned key, bool appeared);

/*
 * Directory words of one directory stand together: while the heap
 * is below 512 MiB, all searches begin in the same few lines.
 */
struct aoma_directory {
    struct aoma_word present[AOMA_KEYS];
};

extern AOMA_HIDDEN struct aoma_directory aoma_directories[AOMA_DIRECTORIES];

/* Whether a search would find the segment. Both bits: who set the first may have died before the second. */
AOMA_INLINE bool aoma_index_names(const struct aoma_segment *segment, unsigned key)
{
    uint32_t bank = segment->number >> AOMA_BANK_SHIFT;
    uint64_t present = aoma_load_acquire(&segment->bank->present[key]) >> (segment->number % AOMA_BANK_SEGMENTS);

    present &= aoma_load_acquire(&aoma_directories[bank >> AOMA_DIRECTORY_SHIFT].present[key]) >>
               (bank % AOMA_DIRECTORY_BANKS);
    return present & 1;
}

/* The same without a call where it would do nothing. */
AOMA_INLINE void aoma_index_raise_if(struct aoma_segment *segment, unsigned key, bool appeared)
{
    aoma_fence_after_rmw(); /* the caller's change of the ground, and lower's of the bit: one of both sees the other */
    if (appeared || !aoma_index_names(segment, key))
        aoma_index_raise(segment, key, appeared);
}

/* What aoma_index_lower needs: to be read before the segment's own word. */
uint64_t aoma_index_snapshot(const struct aoma_segment *segment, unsigned key);

/*
 * The segment's own word had nothing for key when it was read after the snapshot: clears the bit, unless something was
 * raised since. True: it is clear now, and the caller must look at the word again, and raise if it has something.
 */
bool aoma_index_lower(struct aoma_segment *segment, unsigned key, uint64_t snapshot);

/*
 * The lowest segment number in [from, to) whose bit is set, or
 * AOMA_INDEX_NONE. Work: one word per 512 MiB of heap, and one.
 */
uint32_t aoma_index_next(unsigned key, uint32_t from, uint32_t to);

/* Banks: published by CAS, never taken away. */
struct aoma_bank *aoma_index_bank(uint32_t bank);
/* The bank, made if need be; NULL when there is no memory for it. */
struct aoma_bank *aoma_index_require_bank(uint32_t bank, struct aoma_spare *spare);

#endif /* AOMA_INDEX_H */
