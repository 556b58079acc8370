/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Progress of a refill: the thread takes its own block from the run it brings before others can see the run, so it never comes back
 * empty-handed from a run it found; a header that another thread has changed meanwhile only means that ours is set aside as PARTIAL.
 */
#include "heap.h"

/* Puts an ACTIVE run into the header, unless a run with free blocks is there by now. */
static void install(struct aoma_heap *heap, unsigned class, struct aoma_run *run)
{
    struct aoma_ptr *header = &heap->active[class];
    struct aoma_run *old = aoma_ptr_load_acquire(header);

    while (!old || aoma_anchor_count(aoma_load_acquire(&old->anchor)) == 0) {
        if (aoma_ptr_cas_full(header, old, run)) {
            if (old)
                aoma_run_retire(old);
            return;
        }
        old = aoma_ptr_load_acquire(header);
    }
    aoma_run_retire(run);
}

static struct aoma_run *find_run(struct aoma_heap *heap, unsigned class)
{
    struct aoma_run *run = aoma_run_take_partial(class, &heap->cursor[class]);

    if (run)
        return run;
    do {
        run = aoma_run_make(class, false);
    } while (!run && aoma_segment_grow());
    return run ? run : aoma_run_make(class, true);
}

static void *pop_and_install(struct aoma_heap *heap, unsigned class, struct aoma_run *run)
{
    void *block = aoma_run_pop_owned(run);

    install(heap, class, run);
    return block;
}

static void *pop_active(struct aoma_heap *heap, unsigned class)
{
    struct aoma_run *run = aoma_ptr_load_acquire(&heap->active[class]);

    return run ? aoma_run_pop(run, &heap->active[class], class) : NULL;
}

void *aoma_heap_refill(struct aoma_heap *heap, unsigned class)
{
    void *block = pop_active(heap, class); /* another thread may have brought a run just now */

    if (block)
        return block;
    struct aoma_run *run = find_run(heap, class);
    return run ? pop_and_install(heap, class, run) : NULL;
}

void *aoma_heap_alloc_existing(struct aoma_heap *heap, unsigned class)
{
    void *block = pop_active(heap, class);

    if (block)
        return block;
    struct aoma_run *run = aoma_run_take_partial(class, &heap->cursor[class]);
    return run ? pop_and_install(heap, class, run) : NULL;
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
