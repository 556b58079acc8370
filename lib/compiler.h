/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* What the compiler is told beyond C11. */
#ifndef AOMA_COMPILER_H
#define AOMA_COMPILER_H

#include <stddef.h>
#include <stdint.h>

#define AOMA_EXPORT __attribute__((visibility("default")))
/* Data of the library alone, said so where it is declared: then it is addressed directly, not by way of a table. */
#define AOMA_HIDDEN __attribute__((visibility("hidden")))
#define AOMA_COLD __attribute__((cold, noinline))
#define AOMA_NOINLINE __attribute__((noinline))
#define AOMA_INLINE static inline __attribute__((always_inline, unused))
/* A function whose speed should not depend on where the code before it ends. */
#define AOMA_HOT __attribute__((aligned(64)))
#define AOMA_NORETURN __attribute__((noreturn))

/* 1 when this is built to stand in for the C library's malloc in programs that know nothing of it: see preload/. */
#ifndef AOMA_PRELOAD
#define AOMA_PRELOAD 0
#endif

#define aoma_likely(x) __builtin_expect(!!(x), 1)
#define aoma_unlikely(x) __builtin_expect(!!(x), 0)

/* The compiler may not know where a value came from: keeps a branch a branch, where a select would wait for data. */
#define AOMA_OPAQUE(lvalue) __asm__ volatile("" : "+r"(lvalue))

/*
 * The cache line of *address is about to be read and then changed: fetches it for writing at once, where a plain read
 * would fetch it shared first and the change ask the other processors again. A no-op where that is not known.
 */
AOMA_INLINE void aoma_prefetch_for_change(const volatile void *address)
{
#if defined(__x86_64__)
    /*
     * Not __builtin_prefetch, which avoids this instruction unless
     * told that the processor has it; those that do not ignore it.
     */
    __asm__ volatile("prefetchw %0" : : "m"(*(const volatile char *)address));
#else
    __builtin_prefetch((const void *)address, 1);
#endif
}

/* Asks for the line that holds this address, which need not be one of the program's. */
AOMA_INLINE void aoma_prefetch(uintptr_t address)
{
    __builtin_prefetch((const void *)address);
}

/* Before a short loop: eight times at once, where the compiler would not do it by itself. */
#if defined(__GNUC__) && !defined(__clang__)
#define AOMA_UNROLLED _Pragma("GCC unroll 8")
#else
#define AOMA_UNROLLED
#endif

/* For the one helper that writes constants which others may be reading: see segment.c. */
#define AOMA_NO_TSAN __attribute__((no_sanitize("thread")))

/*
 * Index of the lowest set bit; of 0 some number, not always the same. On x86-64 tzcnt where the processor knows it,
 * else bsf. The built-in function is the same instruction, and then a sign extension that gcc does not see is needless.
 */
AOMA_INLINE size_t aoma_lowest_bit_wide(uint64_t bits)
{
#if defined(__x86_64__)
    uint64_t position;

    __asm__("rep bsf %1, %0" : "=r"(position) : "r"(bits) : "cc");
    return (size_t)position;
#else
    return bits ? (size_t)__builtin_ctzll(bits) : 64;
#endif
}

/* The same; bits is not 0. */
AOMA_INLINE unsigned aoma_lowest_bit(uint64_t bits)
{
    return (unsigned)aoma_lowest_bit_wide(bits);
}

/* Number of set bits. Not __builtin_popcountll, which is a call where the processor is not known to have it. */
AOMA_INLINE unsigned aoma_count_bits(uint64_t bits)
{
    bits -= bits >> 1 & UINT64_C(0x5555555555555555);
    bits = (bits & UINT64_C(0x3333333333333333)) + (bits >> 2 & UINT64_C(0x3333333333333333));
    bits = (bits + (bits >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    return (unsigned)(bits * UINT64_C(0x0101010101010101) >> 56);
}

/* Smallest n with 2^n >= x; x is not 0. */
AOMA_INLINE unsigned aoma_ceil_log2(size_t x)
{
    return x == 1 ? 0 : 64 - (unsigned)__builtin_clzll((unsigned long long)x - 1);
}

#endif /* AOMA_COMPILER_H */
