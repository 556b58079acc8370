/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Runs: consecutive chunks that hold blocks of one class, or one large object. Which blocks are free is kept in bits
 * beside the run, never in the blocks: a program that writes where it should not cannot lead the allocator astray, a
 * block given back twice shows, and memory that is free is not touched. A clear bit means: in use, or in the hands of a
 * thread. Taking a block and giving it back are one CAS each.
 *
 * The words have no version, because bits are level-triggered: a CAS on a value that went away and came back takes a
 * block that is free now. What a thread that overslept may meet is a run of another class; it notices after it has the
 * block, when the run can no longer change, and gives it back.
 *
 * state, one 64-bit word: bits 0-2 state, 3-9 class, 10-19 number of blocks, 20-63 version, which counts every change
 * of the word.
 *
 *     EMPTY   -> ACTIVE    the owner of the chunks, when it makes a run
 *             -> FULL      the same, for a large object; or the collector (below) that found a block missing
 *     ACTIVE  -> FULL      who took the run out of its header, or brought it and could not put it there
 *     FULL    -> PARTIAL   whoever sees a free block; it then sets the run's partial bit
 *     PARTIAL -> ACTIVE    who took the partial bit
 *     FULL, PARTIAL -> EMPTY   whoever sees all blocks free: the collector, who becomes the owner of the chunks when it
 * has collected them FULL means: known to nobody but its blocks. All changes are CASes. run.c argues why this is right.
 *
 * Which operations may overlap on one run: all of them, any number of times, with these exceptions: make is the owner's
 * alone, retire is done once per activation, activate is done by the holder of the partial bit.
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

/* A bit each: what free() asks about most is a test of one bit. */
enum aoma_run_state {
    AOMA_RUN_EMPTY = 0,
    AOMA_RUN_FULL = 1,
    AOMA_RUN_PARTIAL = 2,
    AOMA_RUN_ACTIVE = 4,
};

#define AOMA_STATE_MASK UINT64_C(7)
#define AOMA_STATE_CLASS_SHIFT 3
#define AOMA_STATE_CLASS_MASK 127u
#define AOMA_STATE_COUNT_SHIFT 10
#define AOMA_STATE_COUNT_MASK 1023u
#define AOMA_STATE_VERSION_SHIFT 20
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

/*
 * divisor = 2^64 / block_bytes, rounded up. The upper half of offset * divisor is offset / block_bytes; block_bytes
 * divides offset iff the lower half is less than divisor. Exact, since an offset has at most 17 bits, a block size too.
 */
#define AOMA_DIVISOR_LARGE 1 /* no offset but 0 */
#define AOMA_NO_BLOCK 1024u

AOMA_INLINE uint64_t aoma_divisor_of(size_t block_bytes)
{
    return UINT64_MAX / block_bytes + 1;
}

/* Whether a block begins at this offset, and its number. */
AOMA_INLINE bool aoma_block_begins(uint64_t divisor, uint32_t offset, unsigned *index)
{
#ifdef __SIZEOF_INT128__
    __extension__ unsigned __int128 product = divisor;

    product *= offset;
    uint64_t low = (uint64_t)product;
    *index = (unsigned)(product >> 64);
#else
    uint64_t low = divisor * offset;
    *index = (unsigned)(((divisor >> 32) * offset + ((divisor & UINT32_MAX) * offset >> 32)) >> 32);
#endif
    return low < divisor;
}

/* The number of the block that begins at this offset, or AOMA_NO_BLOCK. */
AOMA_INLINE unsigned aoma_block_index(uint64_t divisor, uint32_t offset)
{
    unsigned index;

    return aoma_block_begins(divisor, offset, &index) ? index : AOMA_NO_BLOCK;
}

AOMA_INLINE void *aoma_block_address(const struct aoma_run *run, unsigned index, size_t block_bytes)
{
    return (void *)(run->base + index * block_bytes);
}

/* ---- taking ---- */

/*
 * What a header holds: the address of one of a run's words, and in the low bits, which its alignment leaves free, the
 * number of that word. The fast path looks at this word only; 0: no run.
 */
typedef uintptr_t aoma_active;

AOMA_INLINE aoma_active aoma_active_at(struct aoma_run *run, unsigned word)
{
    return (uintptr_t)&run->free[word] + word;
}

AOMA_INLINE unsigned aoma_active_word(aoma_active active)
{
    return active % sizeof(struct aoma_word);
}

AOMA_INLINE struct aoma_run *aoma_active_run(aoma_active active)
{
    return (struct aoma_run *)(active & ~(uintptr_t)(sizeof(struct aoma_run) - 1));
}

/* Gives back a block that was taken from a run which had become another class's. */
AOMA_COLD void aoma_run_give_stray(struct aoma_run *run, unsigned index);

/*
 * A free block of one word, or NULL; the run was class's when the caller found it in a header.
 *
 * Order: the acquire CAS pairs with the CAS of the free() before: the last user's accesses come before ours. state is
 * read behind it: since we hold a block, the run keeps its class until we give it back.
 */
AOMA_INLINE void *aoma_run_take(aoma_active active, unsigned class)
{
    struct aoma_word *word = (struct aoma_word *)(active - aoma_active_word(active));

    aoma_prefetch_for_change(word);
    uint64_t free = aoma_load_relaxed(word);
    do {
        if (aoma_unlikely(free == 0))
            return NULL;
    } while (aoma_unlikely(!aoma_cas_acquire(word, &free, free & (free - 1))));

    struct aoma_run *run = aoma_active_run(active);
    if (aoma_unlikely(aoma_state_class(aoma_load_acquire(&run->state)) != class)) {
        aoma_run_give_stray(run, 64 * aoma_active_word(active) + aoma_lowest_bit(free));
        return NULL;
    }
    /* In this order, so that little remains to be computed once the word is known. */
    size_t bytes = aoma_class_bytes(class);
    uintptr_t base = run->base + 64 * aoma_active_word(active) * bytes;
    return (void *)(base + aoma_lowest_bit(free) * bytes);
}

/* The same from any word of the run; *word is then the one to go on with. NULL: nothing is free, or the run is not
 * class's any more. */
void *aoma_run_take_any(struct aoma_run *run, unsigned class, unsigned *word);

/* ---- giving ---- */

/* What the state of the run makes of blocks that have just been freed: may list the run, or give its chunks back. */
AOMA_NOINLINE void aoma_run_settle(struct aoma_run *run);
/* The same, and purges if that is due: for free(), whose call chain is short. (Purging from deeper down would need more
 * stack.) */
AOMA_NOINLINE void aoma_run_settle_freed(struct aoma_run *run);

/* block is not in use: aborts in the name of function. Not declared so, because a call that might return can be a jump.
 */
AOMA_COLD void aoma_run_fail_not_in_use(const void *block, const char *function);

/*
 * Gives a block back to its run; wait-free, but for what settle may have to do. A block that is given back twice has
 * its bit set already; if two threads do so in the same moment, both set the same bit and it is free once.
 *
 * Order: setting the bit is a full barrier. It publishes the user's last accesses to the next holder; and it comes
 * before the look at state, as a change of state to FULL comes before that thread's look at the words
 * (aoma_run_settle): one of both sees the other.
 */
AOMA_INLINE void aoma_run_give(struct aoma_run *run, unsigned index, const void *block, const char *function)
{
    struct aoma_word *word = run->free;
    uint64_t bit = (uint64_t)1 << (index % 64);

    /* A branch, for the same reason as in the search for the run: most classes have one word, whose load need not wait
     * for index. */
    if (aoma_unlikely(index >= 64)) {
        word += index / 64;
        AOMA_OPAQUE(word);
    }
    aoma_prefetch_for_change(word);
    if (aoma_unlikely((aoma_load_relaxed(word) & bit) != 0)) {
        aoma_run_fail_not_in_use(block, function);
        return;
    }
    aoma_or_full(word, bit);

    uint64_t state = aoma_load_acquire(&run->state);
    if (aoma_likely(state & AOMA_RUN_ACTIVE))
        return;
    if (aoma_unlikely((state & AOMA_RUN_FULL) ||
                      aoma_load_acquire(word) == aoma_blocks_mask(aoma_state_count(state), index / 64)))
        aoma_run_settle_freed(run);
}

/*
 * Whether address is in the run. The loads may be of any time since the caller got hold of a block there: until that is
 * given back its run stays as it is, and any other run has no bytes there.
 */
AOMA_INLINE bool aoma_run_holds(const struct aoma_run *run, uintptr_t address)
{
    return address - run->base < aoma_small_hint_get(&run->blocks_bytes);
}

/* Whether one of the run's blocks begins at address, and its number. */
AOMA_INLINE bool aoma_run_find(const struct aoma_run *run, uintptr_t address, unsigned *index)
{
    return aoma_likely(aoma_run_holds(run, address)) &&
           aoma_likely(aoma_block_begins(run->divisor, (uint32_t)(address - run->base), index));
}

/*
 * The run that was last put into a header: a hint. A block that is freed soon after it was allocated is most likely one
 * of its, and finding that out needs no walk through the page map, on which the next malloc of the same word would have
 * to wait. The range stands beside the pointer, so that whoever frees another block does not touch the descriptor,
 * which mallocs are writing. The two may not belong together: what they lead to is verified.
 */
struct aoma_recent {
    struct aoma_hint range; /* base + number of chunks */
    struct aoma_hint run;
} __attribute__((aligned(64)));

extern struct aoma_recent aoma_run_recent;

AOMA_INLINE void aoma_recent_set(struct aoma_run *run)
{
    aoma_hint_set(&aoma_run_recent.range, run->base + run->chunks);
    aoma_hint_set(&aoma_run_recent.run, (size_t)run);
}

/* The run that was last put into a header if address is one of its blocks, with its number; else NULL. */
AOMA_INLINE struct aoma_run *aoma_recent_find(uintptr_t address, unsigned *index)
{
    uintptr_t range = aoma_hint_get(&aoma_run_recent.range);
    uintptr_t base = range & ~(uintptr_t)AOMA_CHUNK_MASK;

    if (address - base >= (range & AOMA_CHUNK_MASK) << AOMA_CHUNK_SHIFT)
        return NULL;
    struct aoma_run *run = (struct aoma_run *)aoma_hint_get(&aoma_run_recent.run);
    return run && aoma_run_find(run, address, index) ? run : NULL;
}

/* Whether a block, known to begin where the run has one, is in use. */
AOMA_INLINE bool aoma_run_in_use(const struct aoma_run *run, unsigned index)
{
    return (aoma_load_acquire(&run->free[index / 64]) >> (index % 64) & 1) == 0;
}

/* ---- whole runs ---- */

/* Makes a run of class, ACTIVE, all blocks free, the caller's to put into a header. NULL when the segments have no
 * chunks for it. */
struct aoma_run *aoma_run_make(unsigned class, enum aoma_run_size size);

/* Turns chunks that the caller holds, possibly of several segments, into a large object, in use. */
void aoma_run_make_large(struct aoma_run *run, size_t chunks);

AOMA_INLINE bool aoma_run_is_large(const struct aoma_run *run)
{
    return aoma_state_class(aoma_load_relaxed(&run->state)) == AOMA_CLASS_LARGE;
}

/*
 * A PARTIAL run of class with at least enough free blocks, made ACTIVE: the caller's; NULL: none was found. With enough
 * = 1 all are looked at, with more the search gives up after a few that have fewer. It begins at *cursor and leaves
 * there where it got to.
 */
struct aoma_run *aoma_run_take_partial(unsigned class, unsigned enough, struct aoma_hint *cursor);

/* Leaves an ACTIVE run that is in no header (any more) to its frees, or gives its chunks back. */
void aoma_run_retire(struct aoma_run *run);

/* Whether blocks are free; whether all are: hints. */
bool aoma_run_has_free(const struct aoma_run *run, unsigned class);
bool aoma_run_is_idle(const struct aoma_run *run);

#endif /* AOMA_RUN_H */
