/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Nothing is stranded: a CPU that finds no memory of its own takes whole runs out of the headers of the others, and
 * before memory is said to be short the wholly free runs of all headers go back. Both look at the CPUs that were ever
 * used, not at all that might be.
 *
 * Progress: lock-free. A theft that finds nothing was overtaken by a thread that took the run for itself.
 */
#include "heaps.h"
#include "variant.h"

struct aoma_percpu_heap aoma_percpu_heaps[AOMA_PERCPU_CPUS];

static struct aoma_word used[AOMA_PERCPU_CPUS / 64];

static void mark_used(unsigned cpu)
{
    uint64_t bit = (uint64_t)1 << (cpu % 64);

    if (aoma_unlikely(!(aoma_load_relaxed(&used[cpu / 64]) & bit))) /* set once: a stale look sets it again */
        (void)aoma_fetch_or_full(&used[cpu / 64], bit);
}

unsigned aoma_percpu_next_used(unsigned cpu)
{
    while (cpu < AOMA_PERCPU_CPUS) {
        uint64_t bits = aoma_load_acquire(&used[cpu / 64]) >> (cpu % 64);

        if (bits)
            return cpu + aoma_lowest_bit(bits);
        cpu = (cpu / 64 + 1) * 64;
    }
    return AOMA_PERCPU_CPUS;
}

/* A run with a free block out of the header of any CPU: the caller's to put into its own. */
static AOMA_NOINLINE struct aoma_run *steal(unsigned class)
{
    struct aoma_run *run = NULL;

    for (unsigned cpu = aoma_percpu_next_used(0); cpu < AOMA_PERCPU_CPUS && !run; cpu = aoma_percpu_next_used(cpu + 1))
        run = aoma_heap_take_run(&aoma_percpu_heaps[cpu].heap, class);
    return run;
}

/* Memory is short. A run that was stolen has no block any more only if others were faster. */
static AOMA_NOINLINE void *alloc_stolen(struct aoma_heap *heap, unsigned class)
{
    struct aoma_run *run = steal(class);

    return run ? aoma_heap_adopt(heap, class, run) : NULL;
}

void *aoma_percpu_take(unsigned class)
{
    aoma_active active = aoma_ptr_load_acquire(&aoma_percpu_heaps[aoma_percpu_heap_number()].heap.active[class]);
    void *block = NULL;

    if (aoma_likely(active) && aoma_likely(aoma_run_take(active, class, &block)))
        return block;
    if (aoma_unlikely(block))
        aoma_run_give_stray(aoma_active_run(active), block);
    return NULL;
}

void *aoma_percpu_refill(unsigned class)
{
    unsigned cpu = aoma_percpu_heap_number();

    mark_used(cpu);
    void *block = aoma_heap_refill(&aoma_percpu_heaps[cpu].heap, class);
    return aoma_likely(block) ? block : alloc_stolen(&aoma_percpu_heaps[cpu].heap, class);
}

void *aoma_percpu_alloc_existing(unsigned class)
{
    unsigned cpu = aoma_percpu_heap_number();

    mark_used(cpu);
    void *block = aoma_heap_alloc_existing(&aoma_percpu_heaps[cpu].heap, class);
    return block ? block : alloc_stolen(&aoma_percpu_heaps[cpu].heap, class);
}

bool aoma_percpu_reclaim_heaps(void)
{
    bool reclaimed = false;

    for (unsigned cpu = aoma_percpu_next_used(0); cpu < AOMA_PERCPU_CPUS; cpu = aoma_percpu_next_used(cpu + 1))
        reclaimed |= aoma_heap_reclaim(&aoma_percpu_heaps[cpu].heap);
    return reclaimed;
}
