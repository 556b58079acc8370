/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Nothing is stranded: a heap that has no memory left takes whole runs out of the headers of the others, and before
 * memory is said to be short the wholly free runs of all headers go back. Both look at the heaps that were ever used,
 * not at all that might be.
 *
 * Progress: lock-free. A theft that finds nothing was overtaken by a thread that took the run for itself.
 */
#include "heaps.h"

struct aoma_heap_apart aoma_heaps[AOMA_NUMBERS];

struct aoma_hint aoma_heaps_spread;

static struct aoma_number_set used;

/* The caller's heap, which is about to get a run. */
static struct aoma_heap *use_heap(void)
{
    if (aoma_source_mmap_enabled() && !aoma_hint_get(&aoma_heaps_spread))
        aoma_hint_set(&aoma_heaps_spread, 1);
    struct aoma_heap *heap = aoma_heap_here();
    aoma_number_set_add(&used, (unsigned)((struct aoma_heap_apart *)(void *)heap - aoma_heaps));
    return heap;
}

/* A run with a free block out of the header of any heap: the caller's to put into its own. */
static AOMA_NOINLINE struct aoma_run *steal(unsigned class)
{
    struct aoma_run *run = NULL;

    AOMA_FOR_NUMBERS (number, &used) {
        run = aoma_heap_take_run(&aoma_heaps[number].heap, class);
        if (run)
            break;
    }
    return run;
}

/* Memory is short. A run that was stolen has no block any more only if others were faster. */
static AOMA_NOINLINE void *alloc_stolen(unsigned class)
{
    struct aoma_run *run = steal(class);

    return run ? aoma_heap_adopt(use_heap(), class, run) : NULL;
}

/* Not written where it says so already: all who free read the line. */
static void own(struct aoma_run *run)
{
    size_t owner = aoma_front_owner(aoma_fronts_on());

    if (aoma_hint_get(&run->owner) != owner)
        aoma_hint_set(&run->owner, owner);
}

/* A block that lies in a front or place bears the mark, had it been freed or not. */
static void mark_batch(void *const *blocks, unsigned count)
{
    AOMA_UNROLLED
    for (unsigned i = 0; i < count; i++)
        aoma_front_mark(blocks[i]);
}

bool aoma_heaps_have_batch(unsigned class)
{
    aoma_active active = aoma_ptr_load_acquire(&aoma_heap_here()->active[class]);

    return active && aoma_load_relaxed((struct aoma_word *)active) != 0;
}

unsigned aoma_heaps_take_batch(unsigned class, void **blocks, unsigned max)
{
    aoma_active active = aoma_ptr_load_acquire(&aoma_heap_here()->active[class]);

    if (!active)
        return 0;
    if (class < AOMA_FRONT_SHARING_CLASSES)
        own(aoma_active_run(active));
    unsigned count = aoma_run_take_batch(active, class, blocks, max);
    mark_batch(blocks, count);
    return count;
}

/* Little is kept over the calls: these are part of the deepest chains. */
void *aoma_heaps_refill(unsigned class)
{
    void *block = aoma_heap_refill(use_heap(), class);

    return aoma_likely(block) ? block : alloc_stolen(class);
}

void *aoma_heaps_alloc_existing(unsigned class)
{
    void *block = aoma_heap_alloc_existing(use_heap(), class);

    return block ? block : alloc_stolen(class);
}

bool aoma_heaps_reclaim(void)
{
    bool reclaimed = false;

    AOMA_FOR_NUMBERS (number, &used)
        reclaimed |= aoma_heap_reclaim(&aoma_heaps[number].heap);
    return reclaimed;
}
