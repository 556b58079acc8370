/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* base: one heap for all. malloc is a take from the header's run, free is a give to the block's own run, one CAS each. */
#ifndef AOMA_VARIANT_IMPL_H
#define AOMA_VARIANT_IMPL_H

extern struct aoma_heap aoma_base_heap;

AOMA_INLINE void *aoma_variant_take(unsigned class)
{
    return aoma_heap_take(&aoma_base_heap, class);
}

AOMA_INLINE void aoma_variant_free(struct aoma_run *run, unsigned index, void *block, const char *function)
{
    aoma_run_give(run, index, block, function);
}

#endif /* AOMA_VARIANT_IMPL_H */
