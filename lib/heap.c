/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Progress of a refill: the thread takes its own block from the run it brings before others can see the run. It finds
 * none there only if another thread has just moved the run's freed blocks, and then looks for another run. A header
 * that was changed meanwhile only means that ours is set aside as PARTIAL.
 */
#include "heap.h"
#include "idle.h"
#include "partial.h"

/* Puts a word of an ACTIVE run into the header, unless a run that will do is there by now. */
static void install(struct aoma_heap *heap, unsigned class, aoma_active active, bool choosy)
{
    struct aoma_ptr *header = &heap->active[class];
    aoma_active old = aoma_ptr_load_acquire(header);

    while (!old || !aoma_run_has_free(aoma_active_run(old), choosy)) {
        if (aoma_ptr_cas_full(header, old, active)) {
            aoma_recent_set(active);
            if (old)
                aoma_run_retire(aoma_active_run(old));
            return;
        }
        old = aoma_ptr_load_acquire(header);
    }
    aoma_run_retire(aoma_active_run(active));
}

/*
 * Roomy runs where memory can be had; but, if the variant says so, of larger blocks only when the class has as many
 * chunks as one of them. A small program uses a few blocks each of many sizes: in a roomy run of each it would come to
 * touch all pages by and by, and hardly ever give them back for other sizes.
 */
#define AOMA_ROOMY_BYTES 512u

static enum aoma_run_size run_size_for(unsigned class)
{
    size_t bytes = aoma_class_bytes(class);

    if (!aoma_source_mmap_enabled())
        return AOMA_RUN_NORMAL;
    if (bytes > AOMA_ROOMY_BYTES && bytes <= AOMA_VARIANT_FEW_FIRST_BYTES &&
        aoma_run_chunks_of(class) < aoma_class_chunks(class, AOMA_RUN_ROOMY))
        return AOMA_RUN_FEW;
    return AOMA_RUN_ROOMY;
}

static AOMA_NOINLINE struct aoma_run *make_run(unsigned class)
{
    enum aoma_run_size size = run_size_for(class);
    struct aoma_run *run;

    do {
        run = aoma_run_make(class, size);
    } while (!run && aoma_segment_grow());
    for (; !run && size < AOMA_RUN_MINIMAL; size++)
        run = aoma_run_make(class, size + 1);
    return run;
}

/* The word's free blocks, and the one that was just taken, are for the heap's callers. */
static void note_served(aoma_active active, unsigned class)
{
    unsigned count = aoma_count_bits(aoma_load_relaxed((struct aoma_word *)active)) + 1;

    aoma_idle_note_served((size_t)count * aoma_class_bytes(class));
}

static void *take_from_active(struct aoma_heap *heap, unsigned class, bool choosy)
{
    aoma_active active = aoma_ptr_load_acquire(&heap->active[class]);
    aoma_active next = active;
    void *block = NULL;

    if (!active)
        return NULL;
    if (!aoma_run_take_any(&next, class, choosy, &block)) {
        if (aoma_unlikely(block))
            aoma_run_give_stray(aoma_active_run(active), block);
        return NULL;
    }
    if (next != active) {
        note_served(next, class);
        if (aoma_ptr_cas_full(&heap->active[class], active, next))
            aoma_recent_set(next);
    }
    return block;
}

/* The run is ACTIVE in our hands, so its class is right and what it gives no stray. */
static AOMA_NOINLINE void *take_and_install(struct aoma_heap *heap, unsigned class, struct aoma_run *run, bool choosy)
{
    aoma_active active = aoma_active_at(run, AOMA_RUN_WORDS - 1); /* so that the first word is looked at first */
    void *block = NULL;

    if (!aoma_run_take_any(&active, class, choosy, &block)) {
        aoma_run_retire(run);
        return NULL;
    }
    note_served(active, class);
    install(heap, class, active, choosy);
    return block;
}

/* Blocks of this size and above: what a refill costs is little beside what is done with them. */
#define AOMA_UNCHOOSY_BYTES AOMA_KIB

/*
 * While there is only the static heap, and for large blocks, always a full one of the lowest runs, so that others
 * become empty and serve other sizes. Where memory can still be had, in a circle: by the time that a run is asked again
 * it has gathered as many free blocks as frees allow.
 */
static AOMA_NOINLINE struct aoma_run *find_partial(struct aoma_heap *heap, unsigned class, bool choosy)
{
    struct aoma_hint lowest = {0};

    return aoma_partial_take(class, choosy, choosy ? &heap->cursor[class] : &lowest);
}

static void *take_from_partial(struct aoma_heap *heap, unsigned class, bool choosy)
{
    void *block = NULL;
    struct aoma_run *run;

    while (!block && (run = find_partial(heap, class, choosy)) != NULL)
        block = take_and_install(heap, class, run, choosy);
    return block;
}

void *aoma_heap_alloc_existing(struct aoma_heap *heap, unsigned class)
{
    void *block = take_from_active(heap, class, false);

    return block ? block : take_from_partial(heap, class, false);
}

void *aoma_heap_refill(struct aoma_heap *heap, unsigned class)
{
    bool choosy = aoma_source_mmap_enabled() && aoma_class_bytes(class) < AOMA_UNCHOOSY_BYTES;
    void *block = take_from_active(heap, class, choosy);
    struct aoma_run *run;

    if (!block)
        block = take_from_partial(heap, class, choosy);
    while (!block && (run = make_run(class)) != NULL)
        block = take_and_install(heap, class, run, false);
    return block ? block : aoma_heap_alloc_existing(heap, class);
}

struct aoma_run *aoma_heap_take_run(struct aoma_heap *heap, unsigned class)
{
    aoma_active active = aoma_ptr_load_acquire(&heap->active[class]);

    if (!active || !aoma_run_has_free(aoma_active_run(active), false) ||
        !aoma_ptr_cas_full(&heap->active[class], active, 0))
        return NULL;
    return aoma_active_run(active);
}

void *aoma_heap_adopt(struct aoma_heap *heap, unsigned class, struct aoma_run *run)
{
    return take_and_install(heap, class, run, false);
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
