/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * The numbers that heaps and fronts go by, and sets of them: which were ever used, so that work on all of them is
 * bounded by their number. Bits are only ever set, before what they stand for is used by others; a reader that misses
 * one misses what is being made at this moment.
 */
#ifndef AOMA_FRONTS_NUMBERS_H
#define AOMA_FRONTS_NUMBERS_H

#include "atomics.h"

#define AOMA_NUMBERS_SHIFT 12
#define AOMA_NUMBERS (1u << AOMA_NUMBERS_SHIFT) /* 4096 */

/* Heaps that threads are spread over by their stacks; and what about one stack has for itself. */
#define AOMA_NUMBER_STACKS_SHIFT 6
#define AOMA_NUMBER_STACK_SHIFT 18

/* A number from the address of the stack, which tells threads apart. */
AOMA_INLINE unsigned aoma_number_by_stack(void)
{
    char here; /* not __builtin_frame_address, which makes a frame */
    uintptr_t address = (uintptr_t)&here;

    AOMA_OPAQUE(address);
    uint64_t stack = address >> AOMA_NUMBER_STACK_SHIFT;

    /* Fibonacci hashing: neighbours go far apart. */
    return (unsigned)(stack * UINT64_C(0x9e3779b97f4a7c15) >> (64 - AOMA_NUMBER_STACKS_SHIFT));
}

struct aoma_number_set {
    struct aoma_word word[AOMA_NUMBERS / 64];
};

AOMA_INLINE void aoma_number_set_add(struct aoma_number_set *set, unsigned number)
{
    uint64_t bit = (uint64_t)1 << (number % 64);

    if (aoma_unlikely(!(aoma_load_relaxed(&set->word[number / 64]) & bit))) /* a stale look sets it again */
        (void)aoma_fetch_or_full(&set->word[number / 64], bit);
}

/* The lowest member from number on; AOMA_NUMBERS: none. */
AOMA_INLINE unsigned aoma_number_set_next(const struct aoma_number_set *set, unsigned number)
{
    while (number < AOMA_NUMBERS) {
        uint64_t bits = aoma_load_acquire(&set->word[number / 64]) >> (number % 64);

        if (bits)
            return number + aoma_lowest_bit(bits);
        number = (number / 64 + 1) * 64;
    }
    return AOMA_NUMBERS;
}

#define AOMA_FOR_NUMBERS(number, set)                                                                                  \
    for (unsigned number = aoma_number_set_next(set, 0); number < AOMA_NUMBERS;                                        \
         number = aoma_number_set_next(set, number + 1))

#endif /* AOMA_FRONTS_NUMBERS_H */
