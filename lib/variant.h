/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * The contract between lib/ and a variant. A variant is a folder under variants/ that holds variant_impl.h, found by
 * include path, and whatever sources that needs; it decides how headers are replicated and what stands in front of
 * them. lib/ never asks which one it was built with; lib/api.c is the only file that includes this one.
 *
 * For all operations: async-signal-safe, nested to any depth; lock-free; no initialisation; no system call before mmap
 * is enabled; errno kept; no more stack than lib/'s own functions. They may use heap.h and everything below it. Any may
 * overlap any other, also within one thread, when a handler interrupts it.
 *
 * All are static inline functions, take and free with their fast paths in them, the others mostly calls.
 *
 *   bool aoma_variant_take(unsigned class, void **block)
 *       The fast path: a block of class < AOMA_CLASSES from what is at hand, the caller's, its content unspecified.
 *       False: there is none; then *block is as it was, or has become a stray, a block of another class that came to
 *       hand and that the caller has to free.
 *
 *   void *aoma_variant_refill(unsigned class)
 *       When take had none: a block from the heap that suits the caller, or NULL when nothing was found without taking
 *       from other heaps.
 *
 *   void aoma_variant_free(struct aoma_run *run, unsigned index, bool recent, void *block, const char *function)
 *       Takes a block back, the index-th of its run, which may be the recent one of run.h (a constant); what is left to
 *       find is a double free: it aborts in the name of function. The caller's accesses to the block happen before
 *       those of whoever gets it next. run may hold a large object.
 *
 *   bool aoma_variant_free_believed(struct aoma_run *run, unsigned class, void *block)
 *       Where pointers are believed (check level none): takes a block of class, which may be that of large objects,
 *       without a look at it; false: it did not, as it may for any reason.
 *
 *   void *aoma_variant_alloc_existing(unsigned class)
 *       As refill, but only from runs that are there already: neither new runs nor address space. For requests that
 *       fall back on a larger class.
 *
 *   bool aoma_variant_reclaim(void)
 *       Memory is short: gives back to the segments all wholly free runs that headers hold, and all that is cached in
 *       front of them. Whether anything was given back. May take time in proportion to the number of headers, not to
 *       the heap.
 *
 *   AOMA_VARIANT_DIRECT
 *       A constant: whether free most likely gives the block to its run at once.
 *
 *   bool aoma_variant_has(const struct aoma_run *run, void *block)
 *       Whether a block whose run says that it is in use was freed and is cached. May miss some; never wrong when it
 *       says so.
 *
 *   const char *aoma_variant_mode(void)
 *       What AO_malloc_mode answers. After mmap is enabled it may make a system call.
 *
 *   const char *aoma_variant_name(void)
 *       The name of the folder.
 */
#ifndef AOMA_VARIANT_H
#define AOMA_VARIANT_H

#include <stdbool.h>

#include "heap.h"
#include "run.h"

AOMA_INLINE bool aoma_variant_take(unsigned class, void **block);
AOMA_INLINE void aoma_variant_free(struct aoma_run *run, unsigned index, bool recent, void *block,
                                   const char *function);
AOMA_INLINE bool aoma_variant_free_believed(struct aoma_run *run, unsigned class, void *block);
AOMA_INLINE void *aoma_variant_refill(unsigned class);
AOMA_INLINE void *aoma_variant_alloc_existing(unsigned class);
AOMA_INLINE bool aoma_variant_reclaim(void);
AOMA_INLINE bool aoma_variant_has(const struct aoma_run *run, void *block);
AOMA_INLINE const char *aoma_variant_mode(void);
AOMA_INLINE const char *aoma_variant_name(void);

#include "variant_impl.h"

#endif /* AOMA_VARIANT_H */
