/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * A heap per number (owner.h: of the CPU, or a hash of the thread). It decides which heap a thread goes to, nothing
 * more: it may be wrong, and any number of threads may work on one heap, since all that a heap does is right by its
 * compare-and-swaps.
 *
 * Who writes: a heap's words as heap.h says.
 */
#ifndef AOMA_FRONTS_HEAPS_H
#define AOMA_FRONTS_HEAPS_H

#include <stdbool.h>

#include "heap.h"
#include "owner.h"

/* Pairs of cache lines are fetched together: no two heaps share one. */
struct aoma_heap_apart {
    struct aoma_heap heap;
} __attribute__((aligned(128)));

/* All zero, hence good; only what is used costs memory. */
extern AOMA_HIDDEN struct aoma_heap_apart aoma_heaps[AOMA_NUMBERS];

/*
 * While there is only the static heap, its memory counts more than speed: each heap may hold a run of each class,
 * partly used, and with two heaps 5/8 of 2 MiB in blocks of all sizes was not to be had any more. So numbers share
 * heaps then, one per so many bytes.
 */
#define AOMA_HEAPS_STATIC_SHARE_BYTES (4 * AOMA_MIB)
#define AOMA_HEAPS_STATIC_HEAPS ((unsigned)(AOMA_STATIC_HEAP_BYTES / AOMA_HEAPS_STATIC_SHARE_BYTES) + 1)

/* 0 -> 1 when a refill sees that mmap is enabled. A hint: until then some more numbers share heaps. */
extern AOMA_HIDDEN struct aoma_hint aoma_heaps_spread;

AOMA_INLINE struct aoma_heap *aoma_heap_here(void)
{
    unsigned number = aoma_number();

    if (aoma_unlikely(!aoma_hint_get(&aoma_heaps_spread)))
        number %= AOMA_HEAPS_STATIC_HEAPS;
    return &aoma_heaps[number].heap;
}

/* A block of class when the heap's header has none: from partial runs, new ones, and, when memory is short, from those
 * in the headers of other heaps. */
void *aoma_heaps_refill(unsigned class);

/* Only from runs that there are, of any heap. */
void *aoma_heaps_alloc_existing(unsigned class);

/* Takes wholly free runs back from the headers of all heaps; whether there were any. */
bool aoma_heaps_reclaim(void);

/* Whether the next may take any. A hint. */
bool aoma_heaps_have_batch(unsigned class);

/* Up to max blocks of class from the word in the header of the caller's heap, in one step. */
unsigned aoma_heaps_take_batch(unsigned class, void **blocks, unsigned max);

#endif /* AOMA_FRONTS_HEAPS_H */
