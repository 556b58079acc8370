/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Two loads or stores of 8 bytes per turn keep up with memory; the empty assembly keeps the compiler from making a call
 * of memset or memcpy of the loop.
 */
#include <stdint.h>

#include "bytes.h"
#include "units.h"

/* Blocks hold objects of any type, and change hands. */
typedef uint64_t __attribute__((may_alias)) aoma_bytes_half;

void aoma_bytes_fill(void *to, unsigned char byte, size_t length)
{
    aoma_bytes_half *half = to;
    aoma_bytes_half *end = half + (length + AOMA_UNIT_BYTES - 1) / AOMA_UNIT_BYTES * 2;
    uint64_t pattern = byte * UINT64_C(0x0101010101010101);

    for (; half < end; half += 2) {
        half[0] = pattern;
        half[1] = pattern;
        __asm__ volatile("" : : : "memory");
    }
}

void aoma_bytes_copy(void *to, const void *from, size_t length)
{
    aoma_bytes_half *half = to;
    aoma_bytes_half *end = half + (length + AOMA_UNIT_BYTES - 1) / AOMA_UNIT_BYTES * 2;
    const aoma_bytes_half *source = from;

    for (; half < end; half += 2, source += 2) {
        uint64_t first = source[0];

        half[1] = source[1];
        half[0] = first;
        __asm__ volatile("" : : : "memory");
    }
}
