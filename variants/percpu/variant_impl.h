/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* percpu: a heap per CPU. */
#ifndef AOMA_VARIANT_IMPL_H
#define AOMA_VARIANT_IMPL_H

#include "heaps.h"

AOMA_INLINE bool aoma_variant_take(unsigned class, void **block)
{
    *block = aoma_percpu_take(class);
    return *block;
}

AOMA_INLINE void *aoma_variant_refill(unsigned class)
{
    return aoma_percpu_refill(class);
}

AOMA_INLINE void *aoma_variant_alloc_existing(unsigned class)
{
    return aoma_percpu_alloc_existing(class);
}

AOMA_INLINE bool aoma_variant_reclaim(void)
{
    return aoma_percpu_reclaim_heaps();
}

AOMA_INLINE const char *aoma_variant_name(void)
{
    return "percpu";
}

AOMA_INLINE void aoma_variant_free(struct aoma_run *run, unsigned index, bool recent, void *block, const char *function)
{
    aoma_run_give(run, index, recent, block, function);
}

#endif /* AOMA_VARIANT_IMPL_H */
