/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * The end of a program that misused the heap: one line on file
 * descriptor 2, then abort(). AS-safe: no stdio, no allocation.
 */
#ifndef AOMA_FAIL_H
#define AOMA_FAIL_H

#include "compiler.h"

/*
 * Writes "aomalloc: FUNCTION(0xPOINTER): FAULT\n". function and fault are constant strings, together at most 100 bytes.
 */
AOMA_COLD AOMA_NORETURN void aoma_fail(const char *function, const void *pointer, const char *fault);

/* Writes "aomalloc: internal error: WHAT\n": a broken invariant, hence heap metadata overwritten or a bug of ours. */
AOMA_COLD AOMA_NORETURN void aoma_fail_invariant(const char *what);

/* The check levels of the build option `checks`. At -1, none, a pointer to one of the heap's chunks is believed. */
#define AOMA_CHECKS_FREES (AOMA_CHECKS >= 0)
#define AOMA_CHECKS_DEBUG (AOMA_CHECKS >= 1)
#define AOMA_CHECKS_EXPENSIVE (AOMA_CHECKS >= 2)

#define AOMA_ASSERT(condition)                                                                                         \
    do {                                                                                                               \
        if (AOMA_CHECKS_DEBUG && aoma_unlikely(!(condition)))                                                          \
            aoma_fail_invariant(#condition);                                                                           \
    } while (0)

#endif /* AOMA_FAIL_H */
