/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Runs: consecutive chunks that hold blocks of one class, or one large object. Which blocks are free is kept in bits beside the run, never in the
 * blocks: a program that writes where it should not cannot lead the allocator astray, a block given back twice shows, and memory that is
 * free is not touched.
 *
 * A block is in one of three places: `ready` (malloc takes it from there), `freed` (free puts it there), or in use, which includes the hands
 * of a thread that is just moving it. Taking and giving are each one CAS, on different words. When ready is used up, all of freed is moved there.
 *
 * The words have no version, because bits are level-triggered: a CAS on a value that went away and came back takes a block that is free
 * now. What a thread that overslept may meet is a run of another class; it notices after it has the block, when the run can
 * no longer change, and gives it back.
 *
 * state, one 64-bit word: bits 0-1 state, 2-8 class, 9-18 number of blocks, 19-63 version, which counts every change of the word.
 *
 *     EMPTY   -> ACTIVE    the owner of the chunks, when it makes a run
 *             -> FULL      the same, for a large object; or the collector (below) that found a block missing
 *     ACTIVE  -> FULL      who took the run out of its header, or brought it and could not put it there
 *     FULL    -> PARTIAL   whoever sees a freed block; it then sets the run's partial bit
 *     PARTIAL -> ACTIVE    who took the partial bit
 *     FULL, PARTIAL -> EMPTY   whoever sees all blocks freed: the collector, who becomes the owner of the chunks when it has collected them
 * FULL means: known to nobody but its blocks. All changes are CASes. run.c argues why this is right.
 *
 * Which operations may overlap on one run: all of them, any number of times, with these exceptions: make is the owner's alone, retire is done once
 * per activation, activate is done by the holder of the partial bit.
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

enum aoma_run_state {
    AOMA_RUN_EMPTY = 0,
    AOMA_RUN_FULL = 1,
    AOMA_RUN_PARTIAL = 2,
    AOMA_RUN_ACTIVE = 3,
};

#define AOMA_STATE_MASK UINT64_C(3)
#define AOMA_STATE_CLASS_SHIFT 2
#define AOMA_STATE_CLASS_MASK 127u
#define AOMA_STATE_COUNT_SHIFT 9
#define AOMA_STATE_COUNT_MASK 1023u
#define AOMA_STATE_VERSION_SHIFT 19
#define AOMA_STATE_VERSION_ONE ((uint64_t)1 << AOMA_STATE_VERSION_SHIFT)

_Static_assert(AOMA_CLASS_LARGE <= AOMA_STATE_CLASS_MASK, "the class fits its field");
_Static_assert(AOMA_RUN_WORDS * 64 <= AOMA_STATE_COUNT_MASK, "the number of blocks fits its field");

AOMA_INLINE enum aoma_run_state aoma_state_of(uint64_t state)
{
    return (enum aoma_run_state)(state & AOMA_STATE_MASK);
}

AOMA_INLINE unsigned aoma_state_class(uint64_t state)
{
    return (unsigned)(state >> AOMA_STATE_CLASS_SHIFT) & AOMA_STATE_CLASS_MASK;
}

AOMA_INLINE unsigned aoma_state_count(uint64_t state)
{
    return (unsigned)(state >> AOMA_STATE_COUNT_SHIFT) & AOMA_STATE_COUNT_MASK;
}

/* The bits of a run's word that stand for blocks. */
AOMA_INLINE uint64_t aoma_blocks_mask(unsigned count, unsigned word)
{
    unsigned left = count - 64 * word;

    return left >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << left) - 1;
}

/* ---- offset <-> block ---- */

/* divisor = 2^40 / block_bytes, rounded up: exact, since an offset has at most 17 bits and a block size 17. */
#define AOMA_DIVISOR_SHIFT 40
#define AOMA_DIVISOR_LARGE 1 /* no offset but 0 */

AOMA_INLINE uint64_t aoma_divisor_of(size_t block_bytes)
{
    return (((uint64_t)1 << AOMA_DIVISOR_SHIFT) + block_bytes - 1) / block_bytes;
}

#define AOMA_NO_BLOCK 1024u

/* The number of the block that begins at this offset of a run, or AOMA_NO_BLOCK or a number that the run does not have. */
AOMA_INLINE unsigned aoma_block_index(uint64_t divisor, uint32_t offset)
{
    uint64_t product = offset * divisor;

    if (aoma_unlikely((product & (((uint64_t)1 << AOMA_DIVISOR_SHIFT) - 1)) >= divisor))
        return AOMA_NO_BLOCK;
    return (unsigned)(product >> AOMA_DIVISOR_SHIFT);
}

AOMA_INLINE void *aoma_block_address(const struct aoma_run *run, unsigned index, size_t block_bytes)
{
    return (void *)(run->base + index * block_bytes);
}

/* ---- taking ---- */

/* Gives back a block that was taken from a run which had become another class's. */
AOMA_COLD void aoma_run_give_stray(struct aoma_run *run, unsigned index);

/*
 * A ready block, or NULL; the run was class's when the caller found it in a header.
 *
 * Order: the acquire CAS pairs with the release of whoever made the bit ready, and through that with the CAS of the free() before: the last
 * user's accesses come before ours. state is read behind it: since we hold a block, the run keeps its class until we give it back.
 */
AOMA_INLINE void *aoma_run_take(struct aoma_run *run, unsigned class)
{
    unsigned words = aoma_class_words(class);

    for (unsigned i = 0; i < words; i++) {
        uint64_t ready = aoma_load_relaxed(&run->word[i].ready);

        while (aoma_likely(ready != 0)) {
            unsigned index = 64 * i + aoma_lowest_bit(ready);

            if (aoma_likely(aoma_cas_acquire(&run->word[i].ready, &ready, ready & (ready - 1)))) {
                if (aoma_likely(aoma_state_class(aoma_load_acquire(&run->state)) == class))
                    return aoma_block_address(run, index, aoma_class_bytes(class));
                aoma_run_give_stray(run, index);
                return NULL;
            }
        }
    }
    return NULL;
}

/* The same when nothing is ready: moves what was freed meanwhile to ready. NULL: nothing was, or the run is not class's any more. */
AOMA_NOINLINE void *aoma_run_take_freed(struct aoma_run *run, unsigned class);

/* ---- giving ---- */

/* What the state of the run makes of blocks that have just been freed: may list the run, or give its chunks back. */
AOMA_NOINLINE void aoma_run_settle(struct aoma_run *run);

/* block is not in use: aborts in the name of function. */
AOMA_COLD AOMA_NORETURN void aoma_run_fail_not_in_use(const void *block, const char *function);

/*
 * Gives a block back to its run. Certain for a valid program's blocks: their bits are clear in both words. A block given back twice has
 * its bit set in one of them, except in the moment in which another thread moves its word from freed to ready.
 *
 * Order: the CAS is full. Its release publishes the user's last accesses to the next holder; and it comes before the look at state,
 * as a change of state to FULL comes before that thread's look at freed (aoma_run_settle): one of both sees the other.
 */
AOMA_INLINE void aoma_run_give(struct aoma_run *run, unsigned index, const void *block, const char *function)
{
    struct aoma_blocks *word = &run->word[index / 64];
    uint64_t bit = (uint64_t)1 << (index % 64);
    uint64_t freed = aoma_load_relaxed(&word->freed);

    do {
        if (aoma_unlikely(((freed | aoma_load_relaxed(&word->ready)) & bit) != 0))
            aoma_run_fail_not_in_use(block, function);
    } while (aoma_unlikely(!aoma_cas_full(&word->freed, &freed, freed | bit)));

    uint64_t state = aoma_load_acquire(&run->state);
    if (aoma_likely(aoma_state_of(state) == AOMA_RUN_ACTIVE))
        return;
    if (aoma_unlikely(aoma_state_of(state) == AOMA_RUN_FULL ||
                      (freed | bit) == aoma_blocks_mask(aoma_state_count(state), index / 64)))
        aoma_run_settle(run);
}

/* Whether a block, known to begin where the run has one, is in use. */
AOMA_INLINE bool aoma_run_in_use(const struct aoma_run *run, unsigned index)
{
    const struct aoma_blocks *word = &run->word[index / 64];

    return ((aoma_load_acquire(&word->freed) | aoma_load_acquire(&word->ready)) >> (index % 64) & 1) == 0;
}

/* ---- whole runs ---- */

/*
 * Makes a run of class, ACTIVE, all blocks ready, the caller's to put into a header: chunks as they should be, or (small) the fewest that
 * hold a block. NULL when the segments have none.
 */
struct aoma_run *aoma_run_make(unsigned class, bool small);

/* Turns chunks that the caller holds, possibly of several segments, into a large object, in use. */
void aoma_run_make_large(struct aoma_run *run, size_t chunks);

AOMA_INLINE bool aoma_run_is_large(const struct aoma_run *run)
{
    return aoma_state_class(aoma_load_relaxed(&run->state)) == AOMA_CLASS_LARGE;
}

/* A PARTIAL run of class, made ACTIVE: the caller's. The search begins at *cursor and leaves there where it got to. */
struct aoma_run *aoma_run_take_partial(unsigned class, struct aoma_hint *cursor);

/* Leaves an ACTIVE run that is in no header (any more) to its frees, or gives its chunks back. */
void aoma_run_retire(struct aoma_run *run);

/* Whether blocks are ready or freed; whether all are: hints. */
bool aoma_run_has_free(const struct aoma_run *run);
bool aoma_run_is_idle(const struct aoma_run *run);

#endif /* AOMA_RUN_H */
