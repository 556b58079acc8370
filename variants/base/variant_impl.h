/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* base: one heap for all. malloc is a take from the header's run, free is a give to the block's own run: one atomic
 * operation each. */
#ifndef AOMA_VARIANT_IMPL_H
#define AOMA_VARIANT_IMPL_H

#define AOMA_VARIANT_DIRECT true

extern AOMA_HIDDEN struct aoma_heap aoma_base_heap;

AOMA_INLINE bool aoma_variant_take(unsigned class, void **block)
{
    return aoma_heap_take(&aoma_base_heap, class, block);
}

AOMA_INLINE void *aoma_variant_refill(unsigned class)
{
    return aoma_heap_refill(&aoma_base_heap, class);
}

AOMA_INLINE void *aoma_variant_alloc_existing(unsigned class)
{
    return aoma_heap_alloc_existing(&aoma_base_heap, class);
}

AOMA_INLINE bool aoma_variant_reclaim(void)
{
    return aoma_heap_reclaim(&aoma_base_heap);
}

AOMA_INLINE bool aoma_variant_has(const struct aoma_run *run, void *block)
{
    (void)run, (void)block;
    return false;
}

AOMA_INLINE const char *aoma_variant_mode(void)
{
    return "cas";
}

AOMA_INLINE const char *aoma_variant_name(void)
{
    return "base";
}

AOMA_INLINE void aoma_variant_free(struct aoma_run *run, unsigned index, bool recent, void *block, const char *function)
{
    aoma_run_give(run, index, recent, block, function);
}

/* Without a front to put it in, a look at the block costs nothing. */
AOMA_INLINE bool aoma_variant_free_believed(struct aoma_run *run, unsigned class, void *block)
{
    (void)run, (void)class, (void)block;
    return false;
}

#endif /* AOMA_VARIANT_IMPL_H */
