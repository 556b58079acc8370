/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Address space from the operating system. All AS-safe on Linux (bare system calls behind the C library's wrappers),
 * all keep errno. Sizes are multiples of the page size; the callers' units are, up to a page of one chunk.
 */
#ifndef AOMA_OS_H
#define AOMA_OS_H

#include <stdbool.h>
#include <stddef.h>

#include "compiler.h"

enum aoma_os_access {
    AOMA_OS_USABLE,   /* zero-filled, readable and writable */
    AOMA_OS_RESERVED, /* address space only, as the target of aoma_os_move */
};

/* Memory, or NULL. */
void *aoma_os_map(size_t bytes, enum aoma_os_access access);
/* False: the kernel refused, since it has as many mappings as it allows and would have to make two of one. */
bool aoma_os_unmap(void *mem, size_t bytes);
/* Whether the kernel gives so much now: by having it for a moment. */
AOMA_INLINE bool aoma_os_would_map(size_t bytes)
{
    void *mem = aoma_os_map(bytes, AOMA_OS_USABLE);

    if (mem)
        (void)aoma_os_unmap(mem, bytes);
    return mem != NULL;
}

/* Gives the memory back; the range stays mapped and reads as zero. False if the kernel refused: content unknown. */
bool aoma_os_purge(void *mem, size_t bytes);
/* Faults in what of the range is not there, as if it were written to, in calls so short that a signal need not wait.
 * A kernel that knows no such call (before Linux 5.14) leaves it to the first accesses. */
void aoma_os_populate(void *mem, size_t bytes);
/* Grows or shrinks a mapping where it is. */
bool aoma_os_resize(void *mem, size_t old_bytes, size_t new_bytes);
/* Moves a mapping's pages onto a reservation of new_bytes, which are not fewer. False: the pages are where they were,
 * and the reservation is not the caller's any more. */
bool aoma_os_move(void *mem, size_t old_bytes, void *target, size_t new_bytes);

#endif /* AOMA_OS_H */
