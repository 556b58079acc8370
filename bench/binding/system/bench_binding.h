/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* Binds malloc and free: those of the C library, or of whatever LD_PRELOAD puts before it. */
#ifndef BENCH_BINDING_H
#define BENCH_BINDING_H

#include <stdlib.h>

static inline void *bench_malloc(size_t size)
{
    return malloc(size);
}

static inline void bench_free(void *block)
{
    free(block);
}

static inline size_t bench_fit(size_t size)
{
    return size;
}

#endif /* BENCH_BINDING_H */
