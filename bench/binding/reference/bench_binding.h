/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Binds libatomic_ops' AO_malloc, which is what aomalloc is source-compatible with. That library is under the GPL and
 * so is a program linked with it: this worker is built for comparison only, apart from all others, and never installed.
 */
#ifndef BENCH_BINDING_H
#define BENCH_BINDING_H

#include <atomic_ops_malloc.h>

static inline void *bench_malloc(size_t size)
{
    return AO_malloc(size);
}

static inline void bench_free(void *block)
{
    AO_free(block);
}

/*
 * libatomic_ops 7.6.14 maps memory for ever when it is asked for 32761 to 65528 bytes and then fails, so it is spared
 * these: it gets the next size that it can serve. In its favour: it would have no result at all otherwise.
 */
static inline size_t bench_fit(size_t size)
{
    return size > 32760 && size < 65529 ? 65529 : size;
}

#endif /* BENCH_BINDING_H */
