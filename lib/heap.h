/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * A heap: a header per class, the run that allocations come from now. Any number of heaps share the segments and the
 * partial runs. All-zero is a good heap.
 *
 * A header is changed by CAS: to another word of its run, by anyone; to another run, by whoever brings one with free
 * blocks when this has none; to 0, by whoever takes an idle run back, or a run into another heap. Who removes a run
 * from the header must retire it, or put it into another header. It needs no version: whatever happened in between, the
 * run removed was in the header, and retiring it looks at its blocks.
 */
#ifndef AOMA_HEAP_H
#define AOMA_HEAP_H

#include "atomics.h"
#include "run.h"
#include "size_class.h"

struct aoma_heap {
    struct aoma_ptr active[AOMA_CLASSES];  /* aoma_active */
    struct aoma_hint cursor[AOMA_CLASSES]; /* where the search for partial runs goes on */
} __attribute__((aligned(64)));

/* Takes a block of class from the header's word. False: then aoma_heap_refill; *block is as it was, or a stray: a block
 * of another class, the caller's to free. */
AOMA_INLINE bool aoma_heap_take(struct aoma_heap *heap, unsigned class, void **block)
{
    aoma_active active = aoma_ptr_load_acquire(&heap->active[class]);

    return aoma_likely(active) && aoma_likely(aoma_run_take(active, class, block));
}

/* Goes on with another word or run: partial, then new, then in new address space, then the smallest possible. NULL:
 * none. */
void *aoma_heap_refill(struct aoma_heap *heap, unsigned class);

/* A block of class from runs that exist already. */
void *aoma_heap_alloc_existing(struct aoma_heap *heap, unsigned class);

/* Takes a run with a free block out of the header: the caller's, ACTIVE. NULL: there was none. */
struct aoma_run *aoma_heap_take_run(struct aoma_heap *heap, unsigned class);
/* Puts such a run into a header; a block of it, or NULL. */
void *aoma_heap_adopt(struct aoma_heap *heap, unsigned class, struct aoma_run *run);

/* Takes wholly free runs back from the headers; whether there were any. */
bool aoma_heap_reclaim(struct aoma_heap *heap);

#endif /* AOMA_HEAP_H */
