/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* What the compiler is told beyond C11. */
#ifndef AOMA_COMPILER_H
#define AOMA_COMPILER_H

#include <stddef.h>

#define AOMA_EXPORT __attribute__((visibility("default")))
#define AOMA_COLD __attribute__((cold, noinline))
#define AOMA_NOINLINE __attribute__((noinline))
#define AOMA_INLINE static inline __attribute__((always_inline, unused))
#define AOMA_NORETURN __attribute__((noreturn))

#define aoma_likely(x) __builtin_expect(!!(x), 1)
#define aoma_unlikely(x) __builtin_expect(!!(x), 0)

/* For the one helper that writes constants which others may be reading: see segment.c. */
#define AOMA_NO_TSAN __attribute__((no_sanitize("thread")))

/* Index of the lowest set bit; bits is not 0. */
AOMA_INLINE unsigned aoma_lowest_bit(unsigned long long bits)
{
    return (unsigned)__builtin_ctzll(bits);
}

/* Smallest n with 2^n >= x; x is not 0. */
AOMA_INLINE unsigned aoma_ceil_log2(size_t x)
{
    return x == 1 ? 0 : 64 - (unsigned)__builtin_clzll((unsigned long long)x - 1);
}

#endif /* AOMA_COMPILER_H */
