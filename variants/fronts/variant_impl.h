/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * What variants with fronts have in common (owner.h: what they have not): heaps by number, and in front of them stacks
 * of blocks that belong to a CPU or a thread alone. malloc is a pop, free a push, without an atomic operation; where
 * there are no fronts both are what they are in base.
 */
#ifndef AOMA_VARIANT_IMPL_H
#define AOMA_VARIANT_IMPL_H

#include "heaps.h"
#include "owner.h"

/* Blocks go to a front, of whatever run they are. */
#define AOMA_VARIANT_DIRECT false

AOMA_INLINE bool aoma_variant_take(unsigned class, void **block)
{
    intptr_t on = aoma_fronts_on();

    if (aoma_likely(on)) {
        *block = aoma_front_pop(on, class);
        if (aoma_unlikely(!*block))
            return false;
        aoma_front_clear_mark(*block);
        return true;
    }
    return aoma_heap_take(aoma_heap_here(), class, block);
}

/* A block that comes from a run may bear the mark of an earlier life; without it the next free is a fast one. */
AOMA_INLINE void *aoma_front_unmarked(void *block)
{
    if (block && aoma_fronts_on())
        aoma_front_clear_mark(block);
    return block;
}

AOMA_INLINE void *aoma_variant_refill(unsigned class)
{
    void *block = aoma_fronts_exist() && aoma_fronts_turn_on() ? aoma_front_refill(class) : NULL;

    if (!block) {
        block = aoma_heaps_refill(class);
        aoma_fronts_drain_if_grown();
    }
    return aoma_front_unmarked(block);
}

AOMA_INLINE void *aoma_variant_alloc_existing(unsigned class)
{
    return aoma_front_unmarked(aoma_heaps_alloc_existing(class));
}

AOMA_INLINE bool aoma_variant_reclaim(void)
{
    bool drained = aoma_fronts_give_all_back();

    return aoma_heaps_reclaim() || drained;
}

AOMA_INLINE bool aoma_variant_has(const struct aoma_run *run, void *block)
{
    unsigned class = aoma_run_class(run);

    return aoma_fronts_on() && class < AOMA_CLASSES && aoma_unlikely(aoma_front_is_marked(block)) &&
           aoma_front_has(class, block);
}

AOMA_INLINE const char *aoma_variant_mode(void)
{
    return aoma_fronts_mode();
}

AOMA_INLINE const char *aoma_variant_name(void)
{
    return AOMA_VARIANT_NAME;
}

/* Of no class, free already, or marked: the mark may be of an earlier life. */
AOMA_INLINE bool aoma_front_is_suspect(const struct aoma_run *run, unsigned class, unsigned index, void *block)
{
    return aoma_unlikely(class == AOMA_CLASS_LARGE) ||
           (AOMA_CHECKS_FREES && aoma_unlikely(!aoma_run_in_use(run, index))) ||
           aoma_unlikely(aoma_front_is_marked(block));
}

/*
 * The look at the block's bit finds what was never handed out, or freed and back in its run, for certain; the mark
 * finds what is in a front or a transfer place, as long as nobody wrote to the block since.
 */
AOMA_INLINE void aoma_variant_free(struct aoma_run *run, unsigned index, bool recent, void *block, const char *function)
{
    intptr_t on = aoma_fronts_on();

    if (aoma_unlikely(!on)) {
        aoma_run_give(run, index, recent, block, function);
        return;
    }
    unsigned class = aoma_run_class(run); /* the block holds it */
    if (aoma_unlikely(aoma_front_is_suspect(run, class, index, block))) {
        aoma_front_free_suspect(run, index, block, function);
        return;
    }
    aoma_front_mark(block); /* before anybody else can have it */
    if (aoma_unlikely(!aoma_front_push(on, aoma_front_stack_for(on, run, class), block)))
        aoma_front_overflow(run, index, block, function);
}

/* Large objects' stack has no room. */
AOMA_INLINE bool aoma_variant_free_believed(struct aoma_run *run, unsigned class, void *block)
{
    intptr_t on = aoma_fronts_on();

    return aoma_likely(on) && aoma_likely(aoma_front_push(on, aoma_front_stack_for(on, run, class), block));
}

#endif /* AOMA_VARIANT_IMPL_H */
