/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Marks blocks with a pattern that depends on the block's address, its size and a tag, so that another owner, a link
 * written into a block in use, or a neighbour's overflow shows. The size is kept in the block: a pointer is all that
 * has to be handed from thread to thread. All functions are AS-safe.
 */
#ifndef AOMALLOC_TEST_CANARY_H
#define AOMALLOC_TEST_CANARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CANARY_MIN_BYTES = 16 };

/* Fills size bytes, at least CANARY_MIN_BYTES; of large blocks both ends and one word in each page. */
void canary_write(void *block, size_t size, uint64_t tag);

/* Whether the pattern is as written. */
bool canary_is_whole(const void *block);

/* The size that was written. */
size_t canary_size(const void *block);

/* Checks and wipes the pattern, so that a second owner finds it broken. To be called before AO_free(). */
bool canary_take(void *block);

#endif /* AOMALLOC_TEST_CANARY_H */
