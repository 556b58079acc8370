/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Kept ranges: memory of own mappings that were freed, ready for the next ones. A range lies between any two windows'
 * begins; neighbours are joined, and who needs less than a range takes its head and leaves the rest. So free ranges of
 * any lengths serve blocks of any other, and nothing is cut off and thrown away. All of it is bounded by what is in
 * use, see aoma_kept_excess and aoma_kept_give_way.
 */
#ifndef AOMA_KEPT_H
#define AOMA_KEPT_H

#include <stddef.h>

#include "units.h"

/* Longer mappings are not kept, however much is in use: that much is not to lie idle for one block that may come. */
#define AOMA_KEPT_LONGEST_BYTES (32 * AOMA_MIB)

/*
 * At least *bytes (whole windows) at a multiple of align (a power of two, at least a window), or NULL. *bytes becomes
 * how many it is, more only by less than a window. The content may be anything.
 */
void *aoma_kept_take(size_t *bytes, size_t align);

/* All of the longest range, if it has at least so many bytes, but not as many as below: where and how many; or 0. */
size_t aoma_kept_take_longest(size_t least, size_t below, void **mem);

/* Memory of aoma_source_map's that begins with a window. It goes back at once if it is too long or no slot is free. */
void aoma_kept_put(void *mem, size_t bytes);

/* Gives back to the system so many bytes, rounded up to windows, or all there is; how many. */
size_t aoma_kept_release(size_t bytes);

/* Before bytes are mapped: of what is kept beyond half of what is in use, as much goes back. */
void aoma_kept_give_way(size_t bytes);

/* What mappings are in use, changed by who takes, frees or resizes one. */
void aoma_kept_count_use(size_t add, size_t sub);

/* Sums of relaxed additions, exact when all is quiet. */
size_t aoma_kept_bytes(void);
size_t aoma_kept_use_bytes(void);

/* The bytes by which more is kept than is in use. */
size_t aoma_kept_excess(void);
/* The same, counted anew: less than that by what was lost on the way. */
size_t aoma_kept_counted_excess(void);

#endif /* AOMA_KEPT_H */
