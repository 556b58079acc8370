/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Nothing is stranded: a CPU that finds no memory of its own takes whole runs out of the headers of the others, and
 * before memory is said to be short the wholly free runs of all headers go back. Both look at the CPUs that were ever
 * used, not at all that might be.
 *
 * Progress: lock-free. A theft that finds nothing was overtaken by a thread that took the run for itself.
 */
#include "cpu_set.h"
#include "front.h"
#include "heaps.h"

struct aoma_percpu_heap aoma_percpu_heaps[AOMA_PERCPU_CPUS];

struct aoma_hint aoma_percpu_spread;

static struct aoma_cpu_set used;

/* The caller's heap, which is about to get a run. */
static struct aoma_heap *use_heap(void)
{
    if (aoma_source_mmap_enabled() && !aoma_hint_get(&aoma_percpu_spread))
        aoma_hint_set(&aoma_percpu_spread, 1);
    struct aoma_heap *heap = aoma_percpu_heap();
    aoma_cpu_set_add(&used, (unsigned)((struct aoma_percpu_heap *)(void *)heap - aoma_percpu_heaps));
    return heap;
}

/* A run with a free block out of the header of any CPU: the caller's to put into its own. */
static AOMA_NOINLINE struct aoma_run *steal(unsigned class)
{
    struct aoma_run *run = NULL;

    AOMA_FOR_CPUS (cpu, &used) {
        run = aoma_heap_take_run(&aoma_percpu_heaps[cpu].heap, class);
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
    size_t owner = aoma_front_owner();

    if (aoma_hint_get(&run->owner) != owner)
        aoma_hint_set(&run->owner, owner);
}

/* A block that lies in a front or place bears the mark, had it been freed or not. */
static void mark_batch(void *const *blocks, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        aoma_front_mark(blocks[i]);
}

unsigned aoma_percpu_take_batch(unsigned class, void **blocks, unsigned max)
{
    aoma_active active = aoma_ptr_load_acquire(&aoma_percpu_heap()->active[class]);

    if (!active)
        return 0;
    if (class < AOMA_FRONT_SHARING_CLASSES)
        own(aoma_active_run(active));
    unsigned count = aoma_run_take_batch(active, class, blocks, max);
    mark_batch(blocks, count);
    return count;
}

/* Little is kept over the calls: these are part of the deepest chains. */
void *aoma_percpu_refill(unsigned class)
{
    void *block = aoma_heap_refill(use_heap(), class);

    return aoma_likely(block) ? block : alloc_stolen(class);
}

void *aoma_percpu_alloc_existing(unsigned class)
{
    void *block = aoma_heap_alloc_existing(use_heap(), class);

    return block ? block : alloc_stolen(class);
}

bool aoma_percpu_reclaim_heaps(void)
{
    bool reclaimed = false;

    AOMA_FOR_CPUS (cpu, &used)
        reclaimed |= aoma_heap_reclaim(&aoma_percpu_heaps[cpu].heap);
    return reclaimed;
}
