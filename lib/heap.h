/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * A heap: a header per class, the run that allocations come from now. Any number of heaps share the segments and the partial runs. All-zero
 * is a good heap.
 *
 * A header is changed by CAS, by whoever brings a run with free blocks (from a run without any) or takes an idle run back (to NULL), and who
 * succeeds must retire the run that was there. It needs no version: whatever happened in between, the run
 * displaced was in the header, and retiring it looks at its anchor.
 */
#ifndef AOMA_HEAP_H
#define AOMA_HEAP_H

#include "atomics.h"
#include "run.h"
#include "size_class.h"

struct aoma_heap {
    struct aoma_ptr active[AOMA_CLASSES];
    struct aoma_hint cursor[AOMA_CLASSES]; /* where the search for partial runs goes on */
} __attribute__((aligned(64)));

/* Finds another run: partial, then new, then new address space, then the smallest possible run. NULL: none. */
AOMA_NOINLINE void *aoma_heap_refill(struct aoma_heap *heap, unsigned class);

/* A block of class, or NULL when memory is short. */
AOMA_INLINE void *aoma_heap_alloc(struct aoma_heap *heap, unsigned class)
{
    struct aoma_run *run = aoma_ptr_load_acquire(&heap->active[class]);

    if (aoma_likely(run)) {
        void *block = aoma_run_take(run, class);
        if (aoma_likely(block))
            return block;
    }
    return aoma_heap_refill(heap, class);
}

/* A block of class from runs that exist already. */
void *aoma_heap_alloc_existing(struct aoma_heap *heap, unsigned class);

/* Takes wholly free runs back from the headers; whether there were any. */
bool aoma_heap_reclaim(struct aoma_heap *heap);

#endif /* AOMA_HEAP_H */
