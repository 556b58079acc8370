/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * What the heap must look like: the blocks that are out, sorted by address, each with content that tells it from every
 * other. Each operation is done on the library and here, and what the library answers is checked: alignment, overlap
 * with other blocks, zeroes of calloc, content that realloc keeps, usable size, errno.
 */
#ifndef AOMALLOC_FUZZ_MODEL_H
#define AOMALLOC_FUZZ_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "input.h"

struct block {
    uintptr_t address;
    size_t size; /* asked for */
    size_t usable;
    uint64_t tag; /* its content */
};

enum { MODEL_BLOCKS = 4096, MODEL_FREED = 64 };

/* No blocks, and a library that is new. */
void model_begin(void);

size_t model_count(void);
const struct block *model_block(size_t index); /* below count */
bool model_is_block(uintptr_t address);

/* Of the blocks that were freed last, the index-th; not all are still free. */
uintptr_t model_freed(unsigned index);

/* NULL came back and errno says why: that is no fault. */
void model_malloc(size_t size);
void model_calloc(size_t count, size_t size);
void model_aligned(size_t alignment, size_t size);
void model_realloc(size_t index, size_t size);
void model_free(size_t index);
void model_usable_size(size_t index);
void model_use_null(size_t size); /* where a block could be */

/* The other calls. Of the caller's memory for a region so many bytes lie offset bytes behind a page's begin. */
void model_enable_mmap(void);
void model_set_limit(size_t bytes);
void model_trim(void);
void model_add_region(size_t offset, size_t bytes);

/* Whether all blocks have their content. */
void model_check_content(void);

/* Whether each block is accounted for, in runs, fronts and mappings. Not while a call is under way. */
void model_check_account(void);

/* Frees all; the heap must be empty then, and able to give half of the static heap to one block. */
void model_end(void);

#endif /* AOMALLOC_FUZZ_MODEL_H */
