/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Progress of a refill: the thread takes its own block from the run it brings before others can see the run. It finds none there only if another
 * thread has just moved the run's freed blocks, and then looks for another run. A header that was changed meanwhile only means that
 * ours is set aside as PARTIAL.
 */
#include "heap.h"

/* Puts an ACTIVE run into the header, unless a run with free blocks is there by now. */
static void install(struct aoma_heap *heap, unsigned class, struct aoma_run *run)
{
    struct aoma_ptr *header = &heap->active[class];
    struct aoma_run *old = aoma_ptr_load_acquire(header);

    while (!old || !aoma_run_has_free(old)) {
        if (aoma_ptr_cas_full(header, old, run)) {
            if (old)
                aoma_run_retire(old);
            return;
        }
        old = aoma_ptr_load_acquire(header);
    }
    aoma_run_retire(run);
}

static struct aoma_run *make_run(unsigned class)
{
    struct aoma_run *run;

    do {
        run = aoma_run_make(class, false);
    } while (!run && aoma_segment_grow());
    return run ? run : aoma_run_make(class, true);
}

static void *take_any(struct aoma_run *run, unsigned class)
{
    void *block = aoma_run_take(run, class);

    return block ? block : aoma_run_take_freed(run, class);
}

static void *take_from_active(struct aoma_heap *heap, unsigned class)
{
    struct aoma_run *run = aoma_ptr_load_acquire(&heap->active[class]);

    return run ? take_any(run, class) : NULL;
}

static void *take_and_install(struct aoma_heap *heap, unsigned class, struct aoma_run *run)
{
    void *block = take_any(run, class);

    if (block)
        install(heap, class, run);
    else
        aoma_run_retire(run);
    return block;
}

void *aoma_heap_alloc_existing(struct aoma_heap *heap, unsigned class)
{
    void *block = take_from_active(heap, class);
    struct aoma_run *run;

    while (!block && (run = aoma_run_take_partial(class, &heap->cursor[class])) != NULL)
        block = take_and_install(heap, class, run);
    return block;
}

void *aoma_heap_refill(struct aoma_heap *heap, unsigned class)
{
    void *block = aoma_heap_alloc_existing(heap, class);
    struct aoma_run *run;

    while (!block && (run = make_run(class)) != NULL)
        block = take_and_install(heap, class, run);
    return block;
}

bool aoma_heap_reclaim(struct aoma_heap *heap)
{
    bool reclaimed = false;

    for (unsigned class = 0; class < AOMA_CLASSES; class++) {
        struct aoma_run *run = aoma_ptr_load_acquire(&heap->active[class]);

        if (run && aoma_run_is_idle(run) && aoma_ptr_cas_full(&heap->active[class], run, NULL)) {
            aoma_run_retire(run);
            reclaimed = true;
        }
    }
    return reclaimed;
}
