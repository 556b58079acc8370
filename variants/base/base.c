/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

#include "variant.h"

struct aoma_heap aoma_base_heap;

void *aoma_variant_refill(unsigned class)
{
    return aoma_heap_refill(&aoma_base_heap, class);
}

void *aoma_variant_alloc_existing(unsigned class)
{
    return aoma_heap_alloc_existing(&aoma_base_heap, class);
}

bool aoma_variant_reclaim(void)
{
    return aoma_heap_reclaim(&aoma_base_heap);
}

const char *aoma_variant_name(void)
{
    return "base";
}
