/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Runs: consecutive chunks that hold blocks of one class, or one large object. Which blocks are free is kept in bits
 * beside the run, never in the blocks: a program that writes where it should not cannot lead the allocator astray, a
 * block given back twice shows, and memory that is free is not touched. A clear bit means: in use, or in the hands of a
 * thread. Taking a block and giving it back are one atomic operation each.
 *
 * The words have no version, because bits are level-triggered: a CAS on a value that went away and came back takes a
 * block that is free now. What a thread that overslept may meet is a run of another class; it notices after it has the
 * block, when the run can no longer change, and gives it back.
 *
 * state, one 64-bit word: bits 0-7 class, 8-10 state, 11-20 number of blocks, 21-63 version, which counts every change
 * of the word.
 *
 *     EMPTY   -> ACTIVE    the owner of the chunks, when it makes a run
 *             -> FULL      the same, for a large object; or the collector (below) that found a block missing
 *     ACTIVE  -> FULL      who took the run out of its header, or brought it and could not put it there
 *     FULL    -> PARTIAL   whoever sees a free block; it then sets the run's partial bit
 *     PARTIAL -> ACTIVE    who took the partial bit
 *     FULL, PARTIAL -> EMPTY   whoever sees all blocks free: the collector, who becomes the owner of the chunks when it
 *                              has collected them
 *
 * FULL means: known to nobody but its blocks. All changes but the owner's are CASes. run.c argues why this is right.
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

/* In place within the word, a bit each. */
enum aoma_run_state {
    AOMA_RUN_EMPTY = 0,
    AOMA_RUN_FULL = 1 << 8,
    AOMA_RUN_PARTIAL = 2 << 8,
    AOMA_RUN_ACTIVE = 4 << 8,
};

#define AOMA_STATE_MASK UINT64_C(0x700)
#define AOMA_STATE_CLASS_MASK 255u
#define AOMA_STATE_COUNT_SHIFT 11
#define AOMA_STATE_COUNT_MASK 1023u
#define AOMA_STATE_VERSION_SHIFT 21
#define AOMA_STATE_VERSION_ONE ((uint64_t)1 << AOMA_STATE_VERSION_SHIFT)

_Static_assert(AOMA_CLASS_LARGE <= AOMA_STATE_CLASS_MASK, "the class fits its field");
_Static_assert(AOMA_RUN_WORDS * 64 <= AOMA_STATE_COUNT_MASK, "the number of blocks fits its field");

AOMA_INLINE enum aoma_run_state aoma_state_of(uint64_t state)
{
    return (enum aoma_run_state)(state & AOMA_STATE_MASK);
}

AOMA_INLINE unsigned aoma_state_class(uint64_t state)
{
    return (unsigned)state & AOMA_STATE_CLASS_MASK;
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
 * divisor = 2^64 / block_bytes, rounded up; but its lowest byte is the class, so that free() need not look for it
 * elsewhere. The upper half of offset * divisor is offset / block_bytes; block_bytes divides offset iff the lower half
 * is less than divisor. Exact: divisor is less than 2^9 above 2^64 / block_bytes and at least 2^48, an offset less than
 * 2^17, and what it adds to the product less than 2^26.
 */
#define AOMA_DIVISOR_CLASS_MASK 255u
#define AOMA_DIVISOR_LARGE AOMA_CLASS_LARGE /* no offset but 0 */

_Static_assert(AOMA_CLASS_LARGE <= AOMA_DIVISOR_CLASS_MASK, "the class fits the lowest byte");

AOMA_INLINE uint64_t aoma_divisor_of(size_t block_bytes, unsigned class)
{
    return ((UINT64_MAX / block_bytes | AOMA_DIVISOR_CLASS_MASK) + 1) | class;
}

/* Whether a block begins at this offset, and its number. */
AOMA_INLINE bool aoma_block_begins(uint64_t divisor, size_t offset, unsigned *index)
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

/* ---- taking ---- */

/*
 * What a header holds: the address of one of a run's words; 0: no run. Descriptors are aligned to their size, so the
 * address tells the descriptor and the word's number. The fast path takes from this word only.
 */
typedef uintptr_t aoma_active;

AOMA_INLINE aoma_active aoma_active_at(const struct aoma_run *run, unsigned word)
{
    return (uintptr_t)&run->free[word];
}

/* In bytes from the run's first word. */
AOMA_INLINE size_t aoma_active_offset(aoma_active active)
{
    return active % sizeof(struct aoma_run) - offsetof(struct aoma_run, free);
}

AOMA_INLINE unsigned aoma_active_word(aoma_active active)
{
    return (unsigned)aoma_active_offset(active) / (unsigned)sizeof(struct aoma_word);
}

AOMA_INLINE struct aoma_run *aoma_active_run(aoma_active active)
{
    return (struct aoma_run *)(active - active % sizeof(struct aoma_run));
}

/* For holders of a block, whose run keeps its class. */
AOMA_INLINE unsigned aoma_run_class(const struct aoma_run *run)
{
    return (unsigned)run->divisor & AOMA_DIVISOR_CLASS_MASK;
}

/* Gives back what aoma_run_take took from a run that had become another class's. */
AOMA_COLD void aoma_run_give_stray(struct aoma_run *run, void *block);

/*
 * Takes a free block of one word; the run was class's when the caller found it in a header. False: the word has none,
 * *block is as it was; or the run had become another class's, and *block is a stray: a block of that class, the
 * caller's to free.
 *
 * The block that will be taken next is fetched ahead. Nothing has touched it since it was freed; without this the
 * caller's first write would be waited for by the next atomic operation, which is this thread's next malloc or free.
 *
 * Order: the acquire CAS pairs with the addition of the free() before: the last user's accesses come before ours. The
 * descriptor is read behind it: since we hold a block, the run keeps its class until we give it back.
 */
AOMA_INLINE bool aoma_run_take(aoma_active active, unsigned class, void **block)
{
    struct aoma_word *word = (struct aoma_word *)active;

    aoma_prefetch_for_change(word);
    uint64_t free = aoma_load_relaxed(word);
    do {
        if (aoma_unlikely(free == 0))
            return false;
    } while (aoma_unlikely(!aoma_cas_acquire(word, &free, free & (free - 1))));

    struct aoma_run *run = aoma_active_run(active);
    size_t first = aoma_active_offset(active) * 8; /* 64 blocks a word */
    *block = (void *)(run->base + (first + aoma_lowest_bit_wide(free)) * run->block_bytes);
    aoma_prefetch(run->base + (first + aoma_lowest_bit_wide(free & (free - 1))) * run->block_bytes);
    return aoma_likely(aoma_run_class(run) == class);
}

/*
 * The same from any word of the run, those after *active's first; *active becomes the one to go on with. choosy: only
 * from words with at least 3/16 of their blocks free.
 */
bool aoma_run_take_any(aoma_active *active, unsigned class, bool choosy, void **block);

/*
 * Up to max blocks of one word at once, by a single CAS, the lowest last; how many. 0 also when the run had become
 * another class's.
 */
unsigned aoma_run_take_batch(aoma_active active, unsigned class, void **blocks, unsigned max);

/* ---- giving ---- */

/*
 * The word that was last put into a header, and its run: hints. A block that is freed soon after it was allocated most
 * likely is of this word, and the next malloc takes it again. With run and word known beforehand the processor need not
 * wait for the walk through the page map and for the block's number before it goes on. The two may not belong together.
 */
struct aoma_recent {
    struct aoma_ptr run;
    struct aoma_ptr word; /* aoma_active */
} __attribute__((aligned(64)));

extern AOMA_HIDDEN struct aoma_recent aoma_run_recent;

AOMA_INLINE struct aoma_run *aoma_recent_run(void)
{
    return (struct aoma_run *)aoma_ptr_load_acquire(&aoma_run_recent.run); /* pairs with aoma_recent_set */
}

/* The word of that number, known before the number is if it is the one remembered. */
AOMA_INLINE struct aoma_word *aoma_recent_word(struct aoma_run *run, unsigned number)
{
    aoma_active recent = aoma_ptr_load_relaxed(&aoma_run_recent.word);
    struct aoma_word *word = (struct aoma_word *)recent;

    AOMA_OPAQUE(word); /* or the compiler would see that the branch changes nothing */
    if (aoma_unlikely(recent != aoma_active_at(run, number))) {
        word = &run->free[number];
        AOMA_OPAQUE(word); /* and would make of it a select, which waits for both */
    }
    return word;
}

AOMA_INLINE void aoma_recent_set(aoma_active active)
{
    aoma_ptr_store_release(&aoma_run_recent.run, (uintptr_t)aoma_active_run(active));
    aoma_ptr_store_relaxed(&aoma_run_recent.word, active);
}

/* What the state of the run makes of blocks that have just been freed: may list the run, or give its chunks back. */
AOMA_NOINLINE void aoma_run_settle(struct aoma_run *run);
/* The same, and purges if that is due: for free(), whose call chain is short. (Purging from deeper down would need more
 * stack.) */
AOMA_NOINLINE void aoma_run_settle_freed(struct aoma_run *run);

/* block is not in use: aborts in the name of function. Not declared so: a call that might return can be a jump. */
AOMA_COLD void aoma_run_fail_not_in_use(const void *block, const char *function);
/* The same, after its bit was added to the word that had it: takes it out again first, for handlers of SIGABRT that
 * allocate. */
AOMA_COLD void aoma_run_fail_double_free(struct aoma_word *word, uint64_t bit, const void *block, const char *function);

/*
 * Gives a block back to its run; wait-free, but for what settle may have to do. recent (a constant): the run is the
 * recent one. A block that is given back twice has its bit set already; then the addition carries into other bits,
 * which is undone, and the process ends.
 *
 * Only two changes of a word lead further: that it is not zero any more (if the run is FULL it must be listed), and
 * that all its blocks are free.
 *
 * Order: the addition is a full barrier. It publishes the user's last accesses to the next holder; and it comes before
 * the look at state, as a change of state to FULL comes before that thread's look at the words (aoma_run_settle): one
 * of both sees the other.
 */
AOMA_INLINE void aoma_run_give(struct aoma_run *run, unsigned index, bool recent, const void *block,
                               const char *function)
{
    struct aoma_word *word = recent ? aoma_recent_word(run, index / 64) : &run->free[index / 64];
    uint64_t bit = (uint64_t)1 << (index % 64);
    uint64_t unused = run->last_unused; /* while the run is ours to read */
    uint64_t before = aoma_fetch_add_full(word, bit);

    if (aoma_unlikely((before & bit) != 0)) {
        aoma_run_fail_double_free(word, bit, block, function);
        return;
    }
    /* In a word before the last, blocks may look all free here when they are not: settle looks again. */
    if (aoma_likely(before != 0 && ((before + bit) | unused) != ~(uint64_t)0))
        return;
    aoma_fence_after_rmw(); /* pairs with aoma_run_retire's and aoma_run_settle's */
    if (!(aoma_load_acquire(&run->state) & AOMA_RUN_ACTIVE))
        aoma_run_settle_freed(run);
}

/* The same for several blocks at once, which all are in use, in any order and of any runs: one atomic operation for as
 * many in a row as are of one word. Leaves purging to the caller. */
void aoma_run_give_batch(void *const *blocks, unsigned count);

/*
 * The offset of address in the run, or of one outside; whether the run has a byte there. The loads may be of any time
 * since the caller got hold of a block there: until that is given back its run stays as it is, and any other run has no
 * bytes there.
 */
AOMA_INLINE bool aoma_run_holds(const struct aoma_run *run, uintptr_t address, size_t *offset)
{
    *offset = address - run->base;
    return *offset < aoma_hint32_get(&run->blocks_bytes);
}

/*
 * By the number of a chunk, modulo the table's length: the run that was last made over such a chunk. A hint again: one
 * load in place of three that depend on each other. It is written where runs are made, not where blocks are freed, so
 * threads do not fight over it; where a heap has more chunks than the table, those of the older runs take the page map.
 */
#if AOMA_CHECKS_FREES || UINTPTR_MAX == 0xffffffffu
#define AOMA_RUN_HINTS_EXACT 0
#define AOMA_RUN_HINTS_SHIFT 16 /* of 512 MiB */
#else
#define AOMA_RUN_HINTS_EXACT 1
#define AOMA_HINT_TAG_BITS (64 - AOMA_ADDRESS_BITS)
#define AOMA_RUN_HINTS_SHIFT (AOMA_ADDRESS_BITS - AOMA_CHUNK_SHIFT - AOMA_HINT_TAG_BITS)
#endif
#define AOMA_RUN_HINTS ((size_t)1 << AOMA_RUN_HINTS_SHIFT)

extern AOMA_HIDDEN struct aoma_ptr aoma_run_hints[AOMA_RUN_HINTS]; /* release, acquire: the run's constants */

AOMA_INLINE struct aoma_ptr *aoma_run_hint(uintptr_t address)
{
    return &aoma_run_hints[(address >> AOMA_CHUNK_SHIFT) % AOMA_RUN_HINTS];
}

/*
 * Exact ones, where pointers are believed: from the top, the part of the chunk's number that its place in the table
 * does not tell, plus one; the run's address; in that one's zeros the class. Whoever holds a block of the chunk and
 * finds the number here has what was written when the run was made, since no other run can have the chunk meanwhile.
 * Unset ones are of no address: NULL's number is 1, and none wraps to 0.
 */
#define AOMA_HINT_CLASS_MASK 127u

_Static_assert(sizeof(struct aoma_run) % (AOMA_HINT_CLASS_MASK + 1) == 0, "a run's address has room for a class");
_Static_assert(AOMA_CLASS_LARGE <= AOMA_HINT_CLASS_MASK, "which fits there");

#if AOMA_RUN_HINTS_EXACT
AOMA_INLINE uintptr_t aoma_hint_number(uintptr_t address)
{
    return (address >> (AOMA_CHUNK_SHIFT + AOMA_RUN_HINTS_SHIFT)) + 1;
}

AOMA_INLINE uintptr_t aoma_hint_of(const struct aoma_run *run, uintptr_t chunk, unsigned class)
{
    return aoma_hint_number(chunk) << AOMA_ADDRESS_BITS | (uintptr_t)run | class;
}

AOMA_INLINE bool aoma_hint_is_exact(uintptr_t hint, const void *block)
{
    return hint >> AOMA_ADDRESS_BITS == aoma_hint_number((uintptr_t)block);
}

AOMA_INLINE struct aoma_run *aoma_hinted_run(uintptr_t hint)
{
    return (struct aoma_run *)(hint << AOMA_HINT_TAG_BITS >> AOMA_HINT_TAG_BITS & ~(uintptr_t)AOMA_HINT_CLASS_MASK);
}
#else
AOMA_INLINE uintptr_t aoma_hint_of(const struct aoma_run *run, uintptr_t chunk, unsigned class)
{
    (void)chunk, (void)class;
    return (uintptr_t)run;
}

AOMA_INLINE bool aoma_hint_is_exact(uintptr_t hint, const void *block)
{
    (void)hint, (void)block;
    return false;
}

AOMA_INLINE struct aoma_run *aoma_hinted_run(uintptr_t hint)
{
    return (struct aoma_run *)hint;
}
#endif

/* Of an exact one. */
AOMA_INLINE unsigned aoma_hinted_class(uintptr_t hint)
{
    return hint & AOMA_HINT_CLASS_MASK;
}

/* Whether a block begins at the offset of a byte that the run has, and its number. */
AOMA_INLINE bool aoma_run_begins(const struct aoma_run *run, size_t offset, unsigned *index)
{
    return aoma_block_begins(run->divisor, offset, index);
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

/* The chunks of all runs of class: a sum, exact when all is quiet. 0 where the variant does not want few ones first. */
size_t aoma_run_chunks_of(unsigned class);

/* Turns chunks that the caller holds, possibly of several segments, into a large object, in use. */
void aoma_run_make_large(struct aoma_run *run, size_t chunks);

AOMA_INLINE bool aoma_run_is_large(const struct aoma_run *run)
{
    return aoma_run_class(run) == AOMA_CLASS_LARGE;
}

/* For who has cleared the run's partial bit of class: PARTIAL -> ACTIVE, the caller's; false: the bit was stale. */
bool aoma_run_activate(struct aoma_run *run, unsigned class);

/* Leaves an ACTIVE run that is in no header (any more) to its frees, or gives its chunks back. */
void aoma_run_retire(struct aoma_run *run);

/* Hints: whether aoma_run_take_any would find something; whether all blocks are free. */
bool aoma_run_has_free(const struct aoma_run *run, bool choosy);
bool aoma_run_is_idle(const struct aoma_run *run);

#endif /* AOMA_RUN_H */
