/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Runs: consecutive chunks that hold blocks of one class, or one large object, and the anchor that says which are free.
 *
 * Anchor, one 64-bit word:
 *     bits  0-12  first    offset of the first free block in 16-byte units (meaningless when count is 0)
 *          13-22  count    free blocks, 0 .. block_count
 *          23-24  state
 *          25-63  version  counts every change of the word, never reset
 *
 * The free blocks form a list through their first eight bytes, struct aoma_link. A link is relative to the block behind its own, so that
 * zero-filled memory is the complete list in address order and a fresh run need not be touched.
 *
 * States and who changes them (each by CAS on the anchor, unless it says owner):
 *     EMPTY   -> ACTIVE    the owner of the chunks, when it makes a run (a store: only the owner changes an EMPTY anchor)
 *             -> FULL      the same, for a large object
 *     ACTIVE  -> PARTIAL   who took it out of its header, or gives up on putting it there: some blocks are free
 *             -> FULL      the same: no block is free
 *             -> EMPTY     the same: all blocks are free; becomes the owner of the chunks
 *     FULL    -> PARTIAL   the first free(), which then sets the run's partial bit
 *             -> EMPTY     the free() of the only block; becomes the owner
 *     PARTIAL -> ACTIVE    who took the partial bit
 *             -> EMPTY     the last free(), which takes the bit away and becomes the owner
 * Pops happen in state ACTIVE alone, pushes in any state but EMPTY. See run.c for why this is right.
 */
#ifndef AOMA_RUN_H
#define AOMA_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "atomics.h"
#include "fail.h"
#include "segment.h"
#include "size_class.h"

#define AOMA_ANCHOR_FIRST_BITS 13
#define AOMA_ANCHOR_FIRST_MASK (((uint64_t)1 << AOMA_ANCHOR_FIRST_BITS) - 1)
#define AOMA_ANCHOR_COUNT_SHIFT AOMA_ANCHOR_FIRST_BITS
#define AOMA_ANCHOR_COUNT_BITS 10
#define AOMA_ANCHOR_COUNT_MAX ((1u << AOMA_ANCHOR_COUNT_BITS) - 1)
#define AOMA_ANCHOR_COUNT_ONE ((uint64_t)1 << AOMA_ANCHOR_COUNT_SHIFT)
#define AOMA_ANCHOR_STATE_SHIFT (AOMA_ANCHOR_COUNT_SHIFT + AOMA_ANCHOR_COUNT_BITS)
#define AOMA_ANCHOR_STATE_BITS 2
#define AOMA_ANCHOR_STATE_MASK ((((uint64_t)1 << AOMA_ANCHOR_STATE_BITS) - 1) << AOMA_ANCHOR_STATE_SHIFT)
#define AOMA_ANCHOR_VERSION_SHIFT (AOMA_ANCHOR_STATE_SHIFT + AOMA_ANCHOR_STATE_BITS)
#define AOMA_ANCHOR_VERSION_ONE ((uint64_t)1 << AOMA_ANCHOR_VERSION_SHIFT) /* 39 bits of version */

/* Such that a push needs nothing but itself iff bit 1 is set and, counting bit 0 as one block, the run does not become wholly free. */
enum aoma_run_state {
    AOMA_RUN_EMPTY = 0,
    AOMA_RUN_FULL = 1,
    AOMA_RUN_ACTIVE = 2,
    AOMA_RUN_PARTIAL = 3,
};

#define AOMA_RUN_MAX_BYTES (AOMA_UNIT_BYTES << AOMA_ANCHOR_FIRST_BITS) /* 128 KiB */

/*
 * The first eight bytes of a free block. mark is aoma_block_mark() of its address once the block has been freed (or its run was made of used
 * memory), 0 in fresh memory; malloc sets the word to zero, so a mark in a block that is being freed says that it is probably
 * free already.
 */
struct aoma_link {
    int32_t distance; /* units from the end of this block to the start of the next free one */
    uint32_t mark;
};

AOMA_INLINE unsigned aoma_anchor_count(uint64_t anchor)
{
    return (unsigned)(anchor >> AOMA_ANCHOR_COUNT_SHIFT) & AOMA_ANCHOR_COUNT_MAX;
}

AOMA_INLINE enum aoma_run_state aoma_anchor_state(uint64_t anchor)
{
    return (enum aoma_run_state)((anchor & AOMA_ANCHOR_STATE_MASK) >> AOMA_ANCHOR_STATE_SHIFT);
}

AOMA_INLINE uint32_t aoma_anchor_first(uint64_t anchor)
{
    return (uint32_t)(anchor & AOMA_ANCHOR_FIRST_MASK);
}

AOMA_INLINE uint32_t aoma_block_mark(const void *block)
{
    return ((uint32_t)((uintptr_t)block >> AOMA_UNIT_SHIFT) * 0x9e3779b1u) | 1;
}

/*
 * The benign race of this library: a stale popper may read the link of a block that has a new owner, who writes what it likes there.
 * Whatever is read is masked to an offset and discarded, because the anchor's version has changed and the CAS fails; memory that ever
 * held blocks stays mapped. volatile: read once.
 */
AOMA_INLINE AOMA_NO_TSAN int32_t aoma_link_distance_racy(const void *block)
{
    return ((const volatile struct aoma_link *)block)->distance;
}

/* The block is the caller's. */
AOMA_INLINE void aoma_link_write(void *block, uint32_t offset, uint32_t units, uint32_t next_offset)
{
    struct aoma_link *link = block;

    link->distance = (int32_t)(next_offset - offset - units);
    link->mark = aoma_block_mark(block);
}

AOMA_INLINE void aoma_link_clear(void *block)
{
    struct aoma_link *link = block;

    link->distance = 0;
    link->mark = 0;
}

AOMA_COLD void aoma_run_fresh_block(struct aoma_run *run, uint32_t offset);

/* After a pop: the block is ours. fresh_units only grows, so a block that was handed out is never taken for one that was not. */
AOMA_INLINE void *aoma_run_popped(struct aoma_run *run, uint32_t offset)
{
    void *block = (void *)(run->base + ((uintptr_t)offset << AOMA_UNIT_SHIFT));

    if (aoma_unlikely(offset >= aoma_hint_get(&run->fresh_units)))
        aoma_run_fresh_block(run, offset);
    aoma_link_clear(block);
    return block;
}

/*
 * Pops a block of the run that header says is active for class, or NULL: no block left, or the header has changed.
 *
 * The run may have been taken out of the header and even been recycled for another class since the caller read the header. Reading the header again
 * after the anchor shows that at this moment the run was still this class's; if the CAS then succeeds, the anchor has not changed
 * since, so it still is. The header needs no version for that.
 * Order: the acquire load of the anchor pairs with the release in aoma_run_push (a chain of CASes continues its release sequence), which
 * publishes the links; the acquire CAS keeps the caller's use of the block behind it.
 */
AOMA_INLINE void *aoma_run_pop(struct aoma_run *run, const struct aoma_ptr *header, unsigned class)
{
    uint64_t anchor = aoma_load_acquire(&run->anchor);
    uint64_t desired;
    uint32_t offset;

    do {
        if (aoma_unlikely(aoma_anchor_count(anchor) == 0))
            return NULL;
        offset = aoma_anchor_first(anchor);
        const void *block = (const void *)(run->base + ((uintptr_t)offset << AOMA_UNIT_SHIFT));
        uint32_t next = offset + aoma_class_units(class) + (uint32_t)aoma_link_distance_racy(block);
        if (aoma_unlikely(aoma_ptr_load_acquire(header) != run))
            return NULL;
        desired = ((anchor & ~AOMA_ANCHOR_FIRST_MASK) | (next & AOMA_ANCHOR_FIRST_MASK)) - AOMA_ANCHOR_COUNT_ONE +
                  AOMA_ANCHOR_VERSION_ONE;
    } while (aoma_unlikely(!aoma_cas_acquire(&run->anchor, &anchor, desired)));
    return aoma_run_popped(run, offset);
}

/* The same for a run that the caller has made ACTIVE and not yet put into a header: only pushes compete. NULL: no block is free. */
void *aoma_run_pop_owned(struct aoma_run *run);

/* The rest of aoma_run_push: all that is not a plain push to a run that stays in its state, and every misuse. */
AOMA_NOINLINE void aoma_run_push_slow(struct aoma_run *run, void *block, const char *function);

AOMA_INLINE bool aoma_run_push_is_plain(uint64_t anchor, unsigned block_count)
{
    unsigned partial = (unsigned)(anchor >> AOMA_ANCHOR_STATE_SHIFT) & 1;

    return (anchor >> (AOMA_ANCHOR_STATE_SHIFT + 1) & 1) && aoma_anchor_count(anchor) + partial < block_count;
}

/*
 * Gives a block back to its run; offset is known to be that of a block. Progress: each failed CAS is another thread's success.
 * Order: the release publishes the link, and the freeing thread's last accesses, to whoever pops the block.
 */
AOMA_INLINE void aoma_run_push(struct aoma_run *run, void *block, const char *function)
{
    uint32_t offset = (uint32_t)(((uintptr_t)block - run->base) >> AOMA_UNIT_SHIFT);
    uint64_t anchor = aoma_load_relaxed(&run->anchor);
    uint64_t desired;

    if (aoma_unlikely(((const struct aoma_link *)block)->mark == aoma_block_mark(block) ||
                      offset >= aoma_hint_get(&run->fresh_units) || AOMA_CHECKS_DEBUG)) {
        aoma_run_push_slow(run, block, function);
        return;
    }
    do {
        if (aoma_unlikely(!aoma_run_push_is_plain(anchor, run->block_count))) {
            aoma_run_push_slow(run, block, function);
            return;
        }
        aoma_link_write(block, offset, (uint32_t)(run->block_bytes >> AOMA_UNIT_SHIFT), aoma_anchor_first(anchor));
        desired = ((anchor & ~AOMA_ANCHOR_FIRST_MASK) | offset) + AOMA_ANCHOR_COUNT_ONE + AOMA_ANCHOR_VERSION_ONE;
    } while (aoma_unlikely(!aoma_cas_release(&run->anchor, &anchor, desired)));
}

/* bytes is a multiple of the run's block size: for a 32-bit bytes, and divisor = (2^64 - 1) / block_bytes + 1. */
AOMA_INLINE bool aoma_run_divides(uint64_t divisor, uint32_t bytes)
{
    return bytes * divisor < divisor;
}

/* Whether address, which lies in the run's first to last chunk, is where a block begins. Meaningful while the run is not EMPTY. */
AOMA_INLINE bool aoma_run_is_block(const struct aoma_run *run, uintptr_t address)
{
    uint32_t offset = (uint32_t)(address - run->base);

    return aoma_run_divides(run->divisor, offset) && offset < run->blocks_bytes;
}

/*
 * Makes a run of class, ACTIVE and wholly free, the caller's to put into a header: chunks as they should be, or (small) the fewest that
 * hold a block. NULL when the segments have none.
 */
struct aoma_run *aoma_run_make(unsigned class, bool small);

/* Turns chunks that the caller holds into a large object of bytes (whole chunks); chunks is 0 if they span several segments. */
void aoma_run_make_large(struct aoma_run *run, size_t bytes, unsigned chunks);
/* The holder of a large object has changed its length by giving or taking chunks of one segment. */
void aoma_run_resize_large(struct aoma_run *run, unsigned chunks);
AOMA_INLINE bool aoma_run_is_large(const struct aoma_run *run)
{
    return aoma_hint_get(&run->class) == AOMA_CLASS_LARGE;
}

/* Makes a PARTIAL run of class ACTIVE, if the run is that; the caller has just taken its partial bit. */
bool aoma_run_activate(struct aoma_run *run, unsigned class);

/* Leaves an ACTIVE run that is in no header (any more) to its frees, or gives its chunks back. */
void aoma_run_retire(struct aoma_run *run);

/* Whether a run in a header is wholly free: a hint. */
bool aoma_run_is_idle(const struct aoma_run *run);

/* A PARTIAL run of class, made ACTIVE: the caller's. The search begins at *cursor and leaves there where it got to. */
struct aoma_run *aoma_run_take_partial(unsigned class, struct aoma_hint *cursor);

/*
 * Aborts in the name of function unless block, known to be where a block of run begins, is in use. exact: also look for it in the
 * list of free blocks, as otherwise done only on suspicion.
 */
void aoma_run_check_live(const struct aoma_run *run, const void *block, const char *function, bool exact);

#endif /* AOMA_RUN_H */
