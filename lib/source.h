/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Where address space comes from: the static heap, then mmap once it is enabled, under a limit.
 * Nothing here initialises: all state is zero or constant from the start.
 */
#ifndef AOMA_SOURCE_H
#define AOMA_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compiler.h"
#include "units.h"

/* The static heap's whole chunks: [*low, *high). Constant; no system call. */
void aoma_source_static_heap(uintptr_t *low, uintptr_t *high);

/* Set once, never cleared. */
void aoma_source_enable_mmap(void);
bool aoma_source_mmap_enabled(void);
void aoma_source_set_limit(size_t bytes);

/* Bytes taken with mmap and not given back. */
size_t aoma_source_mapped_bytes(void);

/*
 * Zero-filled memory at a multiple of align (a power of two), counted against the limit; NULL if mmap is not enabled,
 * or the limit or the kernel says no. A thread that dies inside loses at most this range of never touched address
 * space.
 */
void *aoma_source_map(size_t bytes, size_t align);
/* Where the kernel refuses that, the memory goes back all the same, and the address space still counts. */
void aoma_source_unmap(void *mem, size_t bytes);

/*
 * Before fresh memory is written to: has the pages that lie within it faulted in at once, which costs 3/4 of faults one
 * by one. Does nothing before mmap is enabled.
 */
void aoma_source_populate(void *mem, size_t bytes);

/* A block that has just grown to so many bytes will have that many more written to it soon than it had before. A guess,
 * so it is low: where it is wrong it costs memory, and time (1 MiB takes some 0.7 ms). */
AOMA_INLINE size_t aoma_source_ahead(size_t bytes)
{
    size_t part = bytes >> 4;

    return part < AOMA_MIB ? part : AOMA_MIB;
}

/* Whether the limit leaves so many bytes and, if they are more than 16 GiB, the kernel gives them now: a hint. */
bool aoma_source_may_take(size_t bytes);

/* Resizes what aoma_source_map gave where it is; false: nothing has changed. */
bool aoma_source_resize(void *mem, size_t old_bytes, size_t new_bytes);

/*
 * Moving, to be longer: first address space without memory at a multiple of align, or NULL; then the pages onto it
 * (false: they are where they were, and the address space has gone back).
 */
void *aoma_source_reserve(size_t bytes, size_t align);
void aoma_source_unreserve(void *mem, size_t bytes);
bool aoma_source_move(void *mem, size_t old_bytes, void *target, size_t new_bytes);

/* Memory that a region's owner gave and that bookkeeping may be cut from while there is no mmap. */
struct aoma_spare {
    uintptr_t start;
    uintptr_t low; /* start .. low has been cut off */
    uintptr_t high;
};

/* What that many bytes of metadata take. */
size_t aoma_source_metadata_bytes(size_t bytes);

/*
 * Zero-filled memory for metadata, never given back once published:
 * by mmap, else cut from spare (may be NULL), else NULL.
 */
void *aoma_source_metadata(size_t bytes, struct aoma_spare *spare);
/* Gives back what lost the race to be published. */
void aoma_source_metadata_return(void *mem, size_t bytes, struct aoma_spare *spare);

#endif /* AOMA_SOURCE_H */
