/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Own mappings: objects larger than a segment, each with an mmap of its own that begins at a window's first byte. The
 * page map's entry is the whole descriptor: it holds the length, and freeing or resizing one begins with a CAS on it,
 * so a double free is found with certainty. They are whole windows long where that much is to be had; freed ones are
 * kept for the next (kept.h).
 */
#ifndef AOMA_MAPPING_H
#define AOMA_MAPPING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compiler.h"
#include "page_map.h"

/* Memory for bytes at a multiple of align (a power of two), or NULL. *clean: known to be zero. */
void *aoma_mapping_take(size_t bytes, size_t align, bool *clean);

/*
 * entry is that of the window in which block lies, with a tag;
 * aborts in the name of function if block is no mapping's begin.
 */
void aoma_mapping_give(void *block, uintptr_t entry, const char *function);
size_t aoma_mapping_bytes(const void *block, uintptr_t entry, const char *function);

/* Where block is after resizing to bytes, at least a window then, its content kept; NULL: it stays as it was. */
void *aoma_mapping_resize(void *block, uintptr_t entry, size_t bytes, const char *function);

/* Unmaps what is kept of freed ones; the bytes. */
size_t aoma_mapping_flush(void);

#endif /* AOMA_MAPPING_H */
