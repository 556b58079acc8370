/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Objects above the largest size class, or aligned beyond what classes give: up to a segment as a run of whole chunks;
 * above it a mapping of its own, or a span of several segments where there is no mmap.
 */
#ifndef AOMA_LARGE_H
#define AOMA_LARGE_H

#include <stdbool.h>
#include <stddef.h>

#include "run.h"

/*
 * align is a power of two. content: so many bytes of another block, if it has room for them, will be copied to it; with
 * any, and if the memory is clean, what will be written is faulted in at once. *clean: known to be zero. NULL: no
 * memory.
 */
void *aoma_large_alloc(size_t bytes, size_t align, size_t content, bool *clean);

/* The same from adjacent segments, where chunks are free at the end of one and the beginning of the next; not zero. */
void *aoma_large_alloc_span(size_t bytes, size_t align);

/* Makes a large object longer or shorter where it is; false: it stays as it was. */
bool aoma_large_resize(struct aoma_run *run, size_t bytes);

#endif /* AOMA_LARGE_H */
