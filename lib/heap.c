/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Progress of a refill: the thread takes its own block from the run it brings before others can see the run. It finds
 * none there only if another thread has just moved the run's freed blocks, and then looks for another run. A header
 * that was changed meanwhile only means that ours is set aside as PARTIAL.
 */
#include "heap.h"

/* Puts a word of an ACTIVE run into the header, unless a run with free blocks is there by now. */
static void install(struct aoma_heap *heap, unsigned class, aoma_active active)
{
    struct aoma_ptr *header = &heap->active[class];
    aoma_active old = aoma_ptr_load_acquire(header);

    while (!old || !aoma_run_has_free(aoma_active_run(old), class)) {
        if (aoma_ptr_cas_full(header, old, active)) {
            aoma_recent_set(aoma_active_run(active));
            if (old)
                aoma_run_retire(aoma_active_run(old));
            return;
        }
        old = aoma_ptr_load_acquire(header);
    }
    aoma_run_retire(aoma_active_run(active));
}

static AOMA_NOINLINE struct aoma_run *make_run(unsigned class)
{
    enum aoma_run_size size = aoma_source_mmap_enabled() ? AOMA_RUN_ROOMY : AOMA_RUN_NORMAL;
    struct aoma_run *run;

    do {
        run = aoma_run_make(class, size);
    } while (!run && aoma_segment_grow());
    for (; !run && size < AOMA_RUN_MINIMAL; size++)
        run = aoma_run_make(class, size + 1);
    return run;
}

static void *take_from_active(struct aoma_heap *heap, unsigned class)
{
    aoma_active active = aoma_ptr_load_acquire(&heap->active[class]);
    unsigned word;

    if (!active)
        return NULL;
    void *block = aoma_run_take_any(aoma_active_run(active), class, &word);
    if (block && word != aoma_active_word(active))
        (void)aoma_ptr_cas_full(&heap->active[class], active, aoma_active_at(aoma_active_run(active), word));
    return block;
}

static AOMA_NOINLINE void *take_and_install(struct aoma_heap *heap, unsigned class, struct aoma_run *run)
{
    unsigned word;
    void *block = aoma_run_take_any(run, class, &word);

    if (block)
        install(heap, class, aoma_active_at(run, word));
    else
        aoma_run_retire(run);
    return block;
}

/*
 * While there is only the static heap, always the lowest run, so that the higher ones become empty and serve other
 * sizes. Where memory can still be had, in a circle: by the time that a run is asked again it has gathered as many free
 * blocks as frees allow.
 */
static AOMA_NOINLINE struct aoma_run *find_partial(struct aoma_heap *heap, unsigned class, unsigned enough)
{
    struct aoma_hint lowest = {0};

    return aoma_run_take_partial(class, enough, aoma_source_mmap_enabled() ? &heap->cursor[class] : &lowest);
}

static void *take_from_partial(struct aoma_heap *heap, unsigned class, unsigned enough)
{
    void *block = NULL;
    struct aoma_run *run;

    while (!block && (run = find_partial(heap, class, enough)) != NULL)
        block = take_and_install(heap, class, run);
    return block;
}

void *aoma_heap_alloc_existing(struct aoma_heap *heap, unsigned class)
{
    void *block = take_from_active(heap, class);

    return block ? block : take_from_partial(heap, class, 1);
}

/* Where memory can still be had, a run with few free blocks is left to gather more: 1/8 of it may lie idle so that
 * refills stay rare. */
static unsigned enough_blocks(unsigned class)
{
    if (!aoma_source_mmap_enabled())
        return 1;
    return (unsigned)(((size_t)aoma_class_chunks(class, AOMA_RUN_ROOMY) << AOMA_CHUNK_SHIFT) /
                      aoma_class_bytes(class)) /
           8;
}

void *aoma_heap_refill(struct aoma_heap *heap, unsigned class)
{
    void *block = take_from_active(heap, class);
    struct aoma_run *run;

    if (!block)
        block = take_from_partial(heap, class, enough_blocks(class));
    while (!block && (run = make_run(class)) != NULL)
        block = take_and_install(heap, class, run);
    return block ? block : take_from_partial(heap, class, 1);
}

bool aoma_heap_reclaim(struct aoma_heap *heap)
{
    bool reclaimed = false;

    for (unsigned class = 0; class < AOMA_CLASSES; class ++) {
        aoma_active active = aoma_ptr_load_acquire(&heap->active[class]);

        if (active && aoma_run_is_idle(aoma_active_run(active)) && aoma_ptr_cas_full(&heap->active[class], active, 0)) {
            aoma_run_retire(aoma_active_run(active));
            reclaimed = true;
        }
    }
    return reclaimed;
}
