/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* Binds a variant of aomalloc, linked as a shared library. */
#ifndef BENCH_BINDING_H
#define BENCH_BINDING_H

#include "aomalloc.h"

static inline void *bench_malloc(size_t size)
{
    return AO_malloc(size);
}

static inline void bench_free(void *block)
{
    AO_free(block);
}

static inline size_t bench_fit(size_t size)
{
    return size;
}

#endif /* BENCH_BINDING_H */
