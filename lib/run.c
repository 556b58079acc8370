/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Runs follow Maged Michael, "Scalable lock-free dynamic memory allocation" (PLDI 2004), and LRMalloc (Leite and Rocha, 2018), with a bitmap
 * of partial runs per segment in place of their lists of descriptors.
 *
 * Correctness, in short:
 * (1) A block has one holder. Pops and pushes are CASes on the anchor; its version counts every change and is never reset, so a CAS
 *     succeeds only if nothing happened to this run, in this or any later incarnation, since the anchor was read. (39 bits: a thread
 *     would have to sleep through exactly a multiple of 2^39 operations on this one run, an hour and a half at full speed.)
 * (2) A pop takes `first`, whose link it read while the anchor was unchanged: so the link was that of a free block and is right.
 * (3) A run is known in exactly one place: ACTIVE: in a header, or in the hands of the thread that is about to put it there or has taken it out.
 *     PARTIAL: by a set bit in partial[class] of its segment, by a thread that has just made it PARTIAL and will set the bit, or by one that
 *     has just cleared the bit and will try to activate it. FULL: by nobody but its blocks. EMPTY: by the owner of its chunks.
 * (4) A partial bit may be stale (set late, after the run became EMPTY or something else): who takes such a bit finds another state or class and
 *     drops it. The class it read belongs to the anchor it read, because the class is written only between two versions.
 *     A bit is never missing: it is set after each change to PARTIAL, and whoever clears it looks at the anchor afterwards, or is
 *     the owner of the run, which is then EMPTY and not to be made anew before the bit is clear.
 * (5) Only the last free() of a run that is not ACTIVE, or who retires it, makes it EMPTY; it then holds the chunks alone.
 * A thread that dies between two of these steps takes with it one run or one block.
 *
 * Progress: lock-free; a failed CAS is another thread's success. Nothing here loops over more than one run's blocks, and that only when it makes a run
 * of used memory or suspects a double free; the search for a partial run passes each segment that the index names at most twice.
 */
#include <string.h>

#include "index.h"
#include "run.h"
#include "span.h"

#define AOMA_FRESH_ALL ((size_t)1 << AOMA_ANCHOR_FIRST_BITS) /* above every offset */
#define AOMA_WALK_TRIES 1024
#define AOMA_FREED_FILL 0xdd

#define FAULT_FREE "not in use: freed already"
#define FAULT_FRESH "not in use: never handed out"
#define FAULT_EMPTY "not in use: freed already or never handed out"

_Static_assert(AOMA_CHUNK_BYTES / AOMA_UNIT_BYTES <= AOMA_ANCHOR_COUNT_MAX, "blocks of the smallest class in one chunk");

static unsigned chunk_index(const struct aoma_run *run)
{
    return (unsigned)(run - run->segment->run);
}

static uint32_t block_units(const struct aoma_run *run)
{
    return (uint32_t)(run->block_bytes >> AOMA_UNIT_SHIFT);
}

static void give_chunks(struct aoma_run *run)
{
    if (run->chunks)
        aoma_segment_give(run->segment, chunk_index(run), run->chunks);
    else
        aoma_span_give(run->segment, chunk_index(run), run->block_bytes >> AOMA_CHUNK_SHIFT);
}

/* ---- making runs ---- */

/* Used memory needs its list written out; the marks let a free() of a block that was not handed out be noticed. */
static void link_blocks(const struct aoma_run *run)
{
    uint32_t units = block_units(run);
    uint32_t offset = 0;

    for (unsigned i = 0; i < run->block_count; i++, offset += units) {
        void *block = (void *)(run->base + ((uintptr_t)offset << AOMA_UNIT_SHIFT));
        aoma_link_write(block, offset, units, offset + units);
    }
}

/* Only the owner changes an EMPTY anchor, so a store will do; release publishes the descriptor and the links. */
static void publish(struct aoma_run *run, enum aoma_run_state state, unsigned count)
{
    uint64_t anchor = aoma_load_relaxed(&run->anchor);

    AOMA_ASSERT(aoma_anchor_state(anchor) == AOMA_RUN_EMPTY);
    anchor = (anchor & ~(AOMA_ANCHOR_VERSION_ONE - 1)) + AOMA_ANCHOR_VERSION_ONE;
    aoma_store_release(&run->anchor, anchor | (uint64_t)state << AOMA_ANCHOR_STATE_SHIFT |
                                         (uint64_t)count << AOMA_ANCHOR_COUNT_SHIFT);
}

struct aoma_run *aoma_run_make(unsigned class, bool small)
{
    unsigned chunks = small ? aoma_class_min_chunks(class) : aoma_class_chunks(class);
    bool clean;
    struct aoma_run *run = aoma_segment_take(chunks, 1, &clean);

    if (!run)
        return NULL;
    aoma_hint_set(&run->class, class);
    run->block_bytes = aoma_class_bytes(class);
    run->divisor = UINT64_MAX / run->block_bytes + 1;
    run->block_count = (uint16_t)(((size_t)chunks << AOMA_CHUNK_SHIFT) / run->block_bytes);
    run->blocks_bytes = (uint32_t)(run->block_count * run->block_bytes);
    run->chunks = (uint8_t)chunks;
    for (unsigned i = 0; i < chunks; i++)
        run[i].head_delta = (uint8_t)i;
    aoma_hint_set(&run->fresh_units, clean ? 0 : AOMA_FRESH_ALL);
    if (!clean)
        link_blocks(run);
    publish(run, AOMA_RUN_ACTIVE, run->block_count);
    return run;
}

void aoma_run_make_large(struct aoma_run *run, size_t bytes, unsigned chunks)
{
    aoma_hint_set(&run->class, AOMA_CLASS_LARGE);
    run->block_bytes = bytes;
    run->divisor = 1; /* no offset but 0 */
    run->blocks_bytes = 1;
    run->block_count = 1;
    run->chunks = (uint8_t)chunks;
    run->head_delta = 0;
    aoma_hint_set(&run->fresh_units, AOMA_FRESH_ALL);
    publish(run, AOMA_RUN_FULL, 0);
}

void aoma_run_resize_large(struct aoma_run *run, unsigned chunks)
{
    run->block_bytes = (size_t)chunks << AOMA_CHUNK_SHIFT;
    run->chunks = (uint8_t)chunks;
}

/* ---- partial bits ---- */

static void set_partial_bit(struct aoma_segment *segment, unsigned chunk, unsigned class)
{
    uint64_t old = aoma_fetch_or_full(&segment->partial[class], (uint64_t)1 << chunk);

    aoma_index_raise(segment, AOMA_KEY_PARTIAL(class), old == 0);
}

/* The bit is a hint, so a clear one (its setter is still on its way) is as good. */
static void clear_partial_bit(struct aoma_segment *segment, unsigned chunk, unsigned class)
{
    aoma_fetch_clear_full(&segment->partial[class], (uint64_t)1 << chunk);
}

/* What a change of state obliges its maker to. class was read before the change: afterwards the run may be another's. */
static void after_change(struct aoma_run *run, unsigned class, enum aoma_run_state from, enum aoma_run_state to)
{
    if (to == AOMA_RUN_PARTIAL && from != AOMA_RUN_PARTIAL)
        set_partial_bit(run->segment, chunk_index(run), class);
    if (to == AOMA_RUN_EMPTY) {
        if (from == AOMA_RUN_PARTIAL)
            clear_partial_bit(run->segment, chunk_index(run), class);
        give_chunks(run);
    }
}

static uint64_t anchor_in_state(uint64_t anchor, enum aoma_run_state state)
{
    anchor = (anchor & ~AOMA_ANCHOR_STATE_MASK) | (uint64_t)state << AOMA_ANCHOR_STATE_SHIFT;
    if (state == AOMA_RUN_EMPTY)
        anchor &= ~(AOMA_ANCHOR_STATE_MASK - 1); /* zero below the state: no count, no first */
    return anchor + AOMA_ANCHOR_VERSION_ONE;
}

bool aoma_run_activate(struct aoma_run *run, unsigned class)
{
    uint64_t anchor = aoma_load_acquire(&run->anchor);

    do {
        if (aoma_anchor_state(anchor) != AOMA_RUN_PARTIAL || aoma_hint_get(&run->class) != class)
            return false;
    } while (!aoma_cas_acquire(&run->anchor, &anchor, anchor_in_state(anchor, AOMA_RUN_ACTIVE)));
    return true;
}

void aoma_run_retire(struct aoma_run *run)
{
    unsigned class = (unsigned)aoma_hint_get(&run->class);
    uint64_t anchor = aoma_load_acquire(&run->anchor);
    enum aoma_run_state state;

    do {
        unsigned count = aoma_anchor_count(anchor);

        AOMA_ASSERT(aoma_anchor_state(anchor) == AOMA_RUN_ACTIVE);
        state = count == 0 ? AOMA_RUN_FULL : count == run->block_count ? AOMA_RUN_EMPTY : AOMA_RUN_PARTIAL;
    } while (!aoma_cas_full(&run->anchor, &anchor, anchor_in_state(anchor, state)));
    after_change(run, class, AOMA_RUN_ACTIVE, state);
}

bool aoma_run_is_idle(const struct aoma_run *run)
{
    return aoma_anchor_count(aoma_load_acquire(&run->anchor)) == run->block_count;
}

/* Takes the bit of one run of the segment at chunk from or above; its chunk, or AOMA_SEGMENT_CHUNKS. */
static unsigned take_partial_bit(struct aoma_segment *segment, unsigned class, unsigned from)
{
    uint64_t snapshot = aoma_index_snapshot(segment, AOMA_KEY_PARTIAL(class));
    uint64_t word = aoma_load_acquire(&segment->partial[class]);
    uint64_t bits;

    if (!word)
        aoma_index_lower(segment, AOMA_KEY_PARTIAL(class), snapshot);
    while ((bits = word & (~(uint64_t)0 << from)) != 0) {
        if (aoma_cas_full(&segment->partial[class], &word, word & ~(bits & -bits)))
            return aoma_lowest_bit(bits);
    }
    return AOMA_SEGMENT_CHUNKS;
}

/*
 * In a circle, so that a run is asked again only after all others have been: by then it has gathered as many free blocks as frees allow.
 * (The most recently freed one, on top of a stack, would have a single block, and each refill would buy one malloc.)
 */
struct aoma_run *aoma_run_take_partial(unsigned class, struct aoma_hint *cursor)
{
    uint32_t numbers = aoma_segment_numbers();
    size_t start = aoma_hint_get(cursor);
    uint32_t number = (uint32_t)(start >> AOMA_SEGMENT_CHUNKS_SHIFT);
    unsigned chunk = start % AOMA_SEGMENT_CHUNKS;

    for (unsigned lap = 0; lap < 2;) {
        uint32_t next = aoma_index_next(AOMA_KEY_PARTIAL(class), number, numbers);

        if (next == AOMA_INDEX_NONE) {
            lap++;
            number = 0;
            chunk = 0;
            continue;
        }
        if (next != number)
            chunk = 0;
        struct aoma_segment *segment = aoma_segment_by_number(next);
        chunk = segment ? take_partial_bit(segment, class, chunk) : AOMA_SEGMENT_CHUNKS;
        number = next;
        if (chunk == AOMA_SEGMENT_CHUNKS) {
            number++;
            chunk = 0;
        } else if (aoma_run_activate(&segment->run[chunk], class)) {
            aoma_hint_set(cursor, ((size_t)number << AOMA_SEGMENT_CHUNKS_SHIFT) + chunk + 1);
            return &segment->run[chunk];
        }
    }
    return NULL;
}

/* ---- blocks ---- */

void aoma_run_fresh_block(struct aoma_run *run, uint32_t offset)
{
    size_t seen = aoma_hint_get(&run->fresh_units);

    while (seen <= offset && !aoma_hint_cas(&run->fresh_units, &seen, (size_t)offset + 1))
        ;
}

void *aoma_run_pop_owned(struct aoma_run *run)
{
    uint64_t anchor = aoma_load_acquire(&run->anchor);
    uint64_t desired;
    uint32_t offset;

    do {
        if (aoma_anchor_count(anchor) == 0)
            return NULL;
        offset = aoma_anchor_first(anchor);
        const void *block = (const void *)(run->base + ((uintptr_t)offset << AOMA_UNIT_SHIFT));
        uint32_t next = offset + block_units(run) + (uint32_t)aoma_link_distance_racy(block);
        desired = ((anchor & ~AOMA_ANCHOR_FIRST_MASK) | (next & AOMA_ANCHOR_FIRST_MASK)) - AOMA_ANCHOR_COUNT_ONE +
                  AOMA_ANCHOR_VERSION_ONE;
    } while (!aoma_cas_acquire(&run->anchor, &anchor, desired));
    return aoma_run_popped(run, offset);
}

static enum aoma_run_state state_after_push(const struct aoma_run *run, uint64_t anchor)
{
    if (aoma_anchor_state(anchor) == AOMA_RUN_ACTIVE)
        return AOMA_RUN_ACTIVE;
    return aoma_anchor_count(anchor) + 1 == run->block_count ? AOMA_RUN_EMPTY : AOMA_RUN_PARTIAL;
}

void aoma_run_push_slow(struct aoma_run *run, void *block, const char *function)
{
    uint32_t offset = (uint32_t)(((uintptr_t)block - run->base) >> AOMA_UNIT_SHIFT);
    unsigned class = (unsigned)aoma_hint_get(&run->class);
    uint64_t anchor = aoma_load_acquire(&run->anchor);
    enum aoma_run_state state;
    uint64_t desired;

    aoma_run_check_live(run, block, function, AOMA_CHECKS_DEBUG);
    if (AOMA_CHECKS_DEBUG)
        memset((char *)block + sizeof(struct aoma_link), AOMA_FREED_FILL, run->block_bytes - sizeof(struct aoma_link));
    do {
        if (aoma_anchor_state(anchor) == AOMA_RUN_EMPTY || aoma_anchor_count(anchor) >= run->block_count)
            aoma_fail(function, block, FAULT_FREE);
        state = state_after_push(run, anchor);
        aoma_link_write(block, offset, block_units(run), aoma_anchor_first(anchor));
        desired = ((anchor & ~AOMA_ANCHOR_FIRST_MASK) | offset) + AOMA_ANCHOR_COUNT_ONE;
    } while (!aoma_cas_full(&run->anchor, &anchor, anchor_in_state(desired, state)));
    after_change(run, class, aoma_anchor_state(anchor), state);
}

/* ---- misuse ---- */

enum verdict { NOT_LISTED, LISTED, UNDECIDED };

/* Looks for offset among the free blocks as of one moment; decided if the anchor did not change meanwhile. */
static enum verdict walk_list(const struct aoma_run *run, uint32_t offset)
{
    uint64_t anchor = aoma_load_acquire(&run->anchor);
    uint32_t at = aoma_anchor_first(anchor);
    bool found = false;

    for (unsigned i = aoma_anchor_count(anchor); i > 0 && !found; i--) {
        const void *block = (const void *)(run->base + ((uintptr_t)at << AOMA_UNIT_SHIFT));
        found = at == offset;
        at = (at + block_units(run) + (uint32_t)aoma_link_distance_racy(block)) & AOMA_ANCHOR_FIRST_MASK;
    }
    if (aoma_load_acquire(&run->anchor) != anchor)
        return UNDECIDED;
    return found ? LISTED : NOT_LISTED;
}

void aoma_run_check_live(const struct aoma_run *run, const void *block, const char *function, bool exact)
{
    uint32_t offset = (uint32_t)(((uintptr_t)block - run->base) >> AOMA_UNIT_SHIFT);
    bool marked = ((const struct aoma_link *)block)->mark == aoma_block_mark(block);
    enum verdict verdict = UNDECIDED;

    if (aoma_anchor_state(aoma_load_acquire(&run->anchor)) == AOMA_RUN_EMPTY)
        aoma_fail(function, block, FAULT_EMPTY);
    if (offset >= aoma_hint_get(&run->fresh_units))
        aoma_fail(function, block, FAULT_FRESH);
    if (!marked && !exact)
        return;
    for (unsigned i = 0; i < AOMA_WALK_TRIES && verdict == UNDECIDED; i++)
        verdict = walk_list(run, offset);
    /* Never decided under heavy traffic: the mark, wrong once in 2^32, then speaks alone. */
    if (verdict == LISTED || (verdict == UNDECIDED && marked))
        aoma_fail(function, block, FAULT_FREE);
}
