/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * The states follow Maged Michael, "Scalable lock-free dynamic memory allocation" (PLDI 2004), and LRMalloc (Leite and
 * Rocha, 2018); the bits in place of their lists of blocks, and the bitmap of partial runs in place of their lists of
 * descriptors, are ours.
 *
 * Correctness, in short:
 *
 * (1) A block has one holder. Its bit is cleared by a CAS, and its holder alone sets it again. So no two threads get
 *     it, and all blocks of a run are accounted for: free, or in someone's hands.
 * (2) While a thread holds a block, the run cannot be taken apart: that takes all blocks (5). So a thread that took a
 *     block from a run it had found in a header long ago holds a block of what the run is now; if that is another
 *     class, it gives it back.
 * (3) A run is known in exactly one place. ACTIVE: in a header, or in the hands of the thread that is about to put it
 *     there or has taken it out. PARTIAL: by a set bit in partial[class] of its segment, by a thread that has just made
 *     it PARTIAL and will set the bit, or by one that has just cleared the bit and will try to activate it. FULL: by
 *     nobody but its blocks. EMPTY: by the owner of its chunks.
 * (4) Nothing gets stuck in a FULL run. Who makes a run FULL looks at the words afterwards; who makes a word nonzero,
 *     or all free, looks at the state afterwards; all these steps are full barriers, so one of both sees the other. A
 *     free that finds its word nonzero need not look: whoever made it nonzero has looked, or is about to. Likewise for
 *     the last block of a PARTIAL run: of the frees that make a word all free, the last sees the others.
 * (5) Who changes FULL or PARTIAL to EMPTY is the collector: it takes the blocks of each word, all of a word's in one
 *     CAS. When it has them all it is the only holder, so the chunks are its own. If one is missing (a thread that
 *     overslept has just taken it), it puts back what it has, makes the run FULL, and looks again.
 * (6) A partial bit may be stale (set late, when the run was EMPTY or another class's already): who takes such a bit
 *     finds another state or class in the one state word and drops it. A bit is never missing: it is set after each
 *     change to PARTIAL, and whoever clears it looks at the state afterwards, or is the owner of the run, who clears it
 *     before the chunks can be used again.
 *
 * A thread that dies between two of these steps takes with it one block; or the run it was making, moving or taking
 * apart, or whose first freed block it was about to announce (that run comes back when its last block is freed).
 *
 * Progress: lock-free; a failed CAS is another thread's success, and a collector that fails had another thread take
 * blocks. No loop is longer than a run has words.
 */
#include "index.h"
#include "page_map.h"
#include "run.h"
#include "span.h"

/* A word with fewer than 3/16 of its blocks free is left to gather more where memory is not short: that much may lie
 * idle so that headers change rarely. With 1/8, 10,000 blocks of one size that come and go took 1.4 times as long; with
 * 1/4 as long, and more memory. */
#define AOMA_RUN_WORTH_16THS 3

#define FAULT_NOT_IN_USE "not in use: freed already or never handed out"

_Static_assert(AOMA_CHUNK_BYTES / AOMA_UNIT_BYTES <= (size_t)AOMA_RUN_WORDS * 64,
               "a bit for each block of the smallest class");

static unsigned chunk_index(const struct aoma_run *run)
{
    return (unsigned)(run - run->segment->run);
}

static unsigned words_for(unsigned count)
{
    return (count + 63) / 64;
}

static uint64_t next_state(uint64_t state, enum aoma_run_state to)
{
    return ((state & ~AOMA_STATE_MASK) | to) + AOMA_STATE_VERSION_ONE;
}

struct aoma_recent aoma_run_recent;
struct aoma_ptr aoma_run_hints[AOMA_RUN_HINTS];

void aoma_run_fail_not_in_use(const void *block, const char *function)
{
    aoma_fail(function, block, FAULT_NOT_IN_USE);
}

void aoma_run_fail_double_free(struct aoma_word *word, uint64_t bit, const void *block, const char *function)
{
    (void)aoma_fetch_add_full(word, -bit);
    aoma_run_fail_not_in_use(block, function);
}

/* Sets bits of blocks that the caller holds. An or, since a second free in the same moment may have set one. */
static void put(struct aoma_run *run, unsigned word, uint64_t bits)
{
    uint64_t before = aoma_fetch_or_full(&run->free[word], bits);

    AOMA_ASSERT((before & bits) == 0);
    (void)before;
}

void aoma_run_give_stray(struct aoma_run *run, void *block)
{
    unsigned index;

    (void)aoma_run_begins(run, (uintptr_t)block - run->base, &index);
    put(run, index / 64, (uint64_t)1 << (index % 64));
    aoma_run_settle(run);
}

/* ---- batches ---- */

/* The lowest bits of free, at most max. */
static uint64_t lowest_bits(uint64_t free, unsigned max)
{
    uint64_t rest = free;

    if (aoma_count_bits(free) <= max)
        return free;
    while (max-- > 0)
        rest &= rest - 1;
    return free & ~rest;
}

/* The blocks of the word's bits, which are not 0, the lowest last; how many. */
static unsigned list_blocks(const struct aoma_run *run, unsigned word, uint64_t bits, void **blocks)
{
    size_t bytes = run->block_bytes;
    uintptr_t block = run->base + (size_t)word * 64 * bytes;
    unsigned count = aoma_count_bits(bits);

    if (count == 64) {
        AOMA_UNROLLED
        for (unsigned at = 64; at-- > 0; block += bytes)
            blocks[at] = (void *)block;
        return count;
    }
    for (unsigned at = count; bits; bits &= bits - 1)
        blocks[--at] = (void *)(block + aoma_lowest_bit_wide(bits) * bytes);
    return count;
}

/* Order: as in aoma_run_take. */
unsigned aoma_run_take_batch(aoma_active active, unsigned class, void **blocks, unsigned max)
{
    struct aoma_word *word = (struct aoma_word *)active;
    struct aoma_run *run = aoma_active_run(active);

    aoma_prefetch_for_change(word);
    uint64_t free = aoma_load_relaxed(word);
    uint64_t taken;
    do {
        taken = lowest_bits(free, max);
        if (!taken)
            return 0;
    } while (!aoma_cas_acquire(word, &free, free & ~taken));
    if (aoma_unlikely(aoma_run_class(run) != class)) {
        put(run, aoma_active_word(active), taken);
        aoma_run_settle(run);
        return 0;
    }
    return list_blocks(run, aoma_active_word(active), taken, blocks);
}

/* The run of a block that is in use. */
static AOMA_NOINLINE struct aoma_run *run_of(const void *block)
{
    struct aoma_run *run = aoma_hinted_run(aoma_ptr_load_acquire(aoma_run_hint((uintptr_t)block)));
    size_t offset;

    if (aoma_likely(run) && aoma_likely(aoma_run_holds(run, (uintptr_t)block, &offset)))
        return run;
    struct aoma_segment *segment = aoma_entry_segment(aoma_page_map_get((uintptr_t)block));
    return &segment->run[segment->head[((uintptr_t)block >> AOMA_CHUNK_SHIFT) % AOMA_SEGMENT_CHUNKS]];
}

static AOMA_COLD void fail_double_free_of(struct aoma_run *run, unsigned number, uint64_t bits, uint64_t before)
{
    size_t index = (size_t)64 * number + aoma_lowest_bit(bits & before);

    aoma_run_fail_double_free(&run->free[number], bits, (void *)(run->base + index * run->block_bytes), "AO_free");
}

/* As aoma_run_give, which says why; whether settling is due. */
static bool give_bits(struct aoma_run *run, unsigned number, uint64_t bits)
{
    uint64_t unused = run->last_unused;
    uint64_t before = aoma_fetch_add_full(&run->free[number], bits);

    if (aoma_unlikely((before & bits) != 0)) {
        fail_double_free_of(run, number, bits, before);
        return false;
    }
    if (before != 0 && ((before + bits) | unused) != ~(uint64_t)0)
        return false;
    aoma_fence_after_rmw();
    return !(aoma_load_acquire(&run->state) & AOMA_RUN_ACTIVE);
}

/* Gives the first block, and its neighbours in the array as far as they are of the same word; where the rest begins. */
static void *const *give_word(void *const *blocks, void *const *end)
{
    struct aoma_run *run = run_of(*blocks);
    size_t word_bytes = (size_t)64 * run->block_bytes;
    unsigned index;

    (void)aoma_run_begins(run, (uintptr_t)*blocks - run->base, &index);
    unsigned word = index / 64;
    uintptr_t first = run->base + word * word_bytes;
    size_t bytes = aoma_hint32_get(&run->blocks_bytes) - word * word_bytes;
    if (bytes > word_bytes)
        bytes = word_bytes;
    uint64_t bits = (uint64_t)1 << (index % 64);
    while (++blocks < end && (uintptr_t)*blocks - first < bytes) {
        (void)aoma_run_begins(run, (uintptr_t)*blocks - first, &index);
        if (aoma_unlikely(bits >> index & 1))
            break; /* a second free, which is refused when its turn comes */
        bits |= (uint64_t)1 << index;
    }
    if (aoma_unlikely(give_bits(run, word, bits)))
        aoma_run_settle(run);
    return blocks;
}

/*
 * Neighbours alone: looking through the rest of the batch for more blocks of the word costs more than the atomic
 * operation that it may save, as soon as blocks are freed in no order.
 */
void aoma_run_give_batch(void *const *blocks, unsigned count)
{
    void *const *end = blocks + count;

    while (blocks < end)
        blocks = give_word(blocks, end);
}

/* ---- the check level `expensive` ---- */

/* For a run that cannot become EMPTY meanwhile: it is ACTIVE and in the caller's hands. */
static void check_run(const struct aoma_run *run)
{
    uint64_t state = aoma_load_acquire(&run->state);
    unsigned count = aoma_state_count(state);
    unsigned chunk = chunk_index(run);

    if (aoma_state_of(state) != AOMA_RUN_ACTIVE)
        aoma_fail_invariant("a run in a thread's hands is not active");
    if (run->chunks > AOMA_SEGMENT_CHUNKS - chunk || !count)
        aoma_fail_invariant("a run's descriptor was overwritten");
    for (unsigned i = 0; i < AOMA_RUN_WORDS; i++) {
        if (aoma_load_acquire(&run->free[i]) & ~(64 * i < count ? aoma_blocks_mask(count, i) : 0))
            aoma_fail_invariant("a run has a free block that it does not have");
    }
    for (unsigned i = 0; i < run->chunks; i++) {
        if (run->segment->head[chunk + i] != chunk || !(aoma_load_acquire(&run->segment->taken) >> (chunk + i) & 1))
            aoma_fail_invariant("a chunk of a run is not its own");
    }
}

/* ---- making runs ---- */

/* Everything else about the run is written before; release pairs with the acquire of whoever takes a block or reads the
 * state. */
static void publish_state(struct aoma_run *run, enum aoma_run_state to, unsigned class, unsigned count)
{
    uint64_t version = aoma_load_relaxed(&run->state) & ~(AOMA_STATE_VERSION_ONE - 1);

    AOMA_ASSERT(aoma_state_of(aoma_load_relaxed(&run->state)) == AOMA_RUN_EMPTY);
    /* Only the owner changes the state of an EMPTY run (the collector is its owner): a store will do. */
    aoma_store_release(&run->state,
                       (version + AOMA_STATE_VERSION_ONE) | (uint64_t)count << AOMA_STATE_COUNT_SHIFT | class | to);
}

/* Each chunk of the run that is in its segment leads to it. */
static void set_heads(struct aoma_run *run, size_t chunks, unsigned class)
{
    unsigned first = chunk_index(run);
    size_t end = first + chunks < AOMA_SEGMENT_CHUNKS ? first + chunks : AOMA_SEGMENT_CHUNKS;

    run->chunks = (uint32_t)chunks;
    for (size_t i = first; i < end; i++) {
        run->segment->head[i] = (uint8_t)first;
        uintptr_t chunk = run->segment->run[i].base;
        aoma_ptr_store_release(aoma_run_hint(chunk), aoma_hint_of(run, chunk, class));
    }
}

/* By class. Changed by the owner of an EMPTY run: before it publishes the run, and before it gives the chunks back; so
 * each subtraction comes after its addition. */
static struct aoma_counter chunks_of[AOMA_CLASSES];

static void count_chunks(unsigned class, size_t chunks)
{
    if (AOMA_VARIANT_FEW_FIRST_BYTES && class < AOMA_CLASSES)
        aoma_counter_add(&chunks_of[class], chunks);
}

size_t aoma_run_chunks_of(unsigned class)
{
    return aoma_counter_get(&chunks_of[class]);
}

struct aoma_run *aoma_run_make(unsigned class, enum aoma_run_size size)
{
    unsigned chunks = aoma_class_chunks(class, size);
    bool clean;
    struct aoma_run *run = aoma_segment_take(chunks, 1, &clean);

    if (!run)
        return NULL;
    size_t bytes = aoma_class_bytes(class);
    unsigned count = (unsigned)(((size_t)chunks << AOMA_CHUNK_SHIFT) / bytes);
    run->divisor = aoma_divisor_of(bytes, class);
    run->last_unused = ~aoma_blocks_mask(count, words_for(count) - 1);
    run->block_bytes = (uint32_t)bytes;
    aoma_hint32_set(&run->blocks_bytes, (uint32_t)(count * bytes));
    set_heads(run, chunks, class);
    count_chunks(class, chunks);
    publish_state(run, AOMA_RUN_ACTIVE, class, count);
    for (unsigned i = 0; i < AOMA_RUN_WORDS; i++) /* after the class: see aoma_run_take */
        aoma_store_release(&run->free[i], i < words_for(count) ? aoma_blocks_mask(count, i) : 0);
    return run;
}

void aoma_run_make_large(struct aoma_run *run, size_t chunks)
{
    run->divisor = AOMA_DIVISOR_LARGE;
    run->last_unused = ~(uint64_t)1;
    run->block_bytes = 0;
    aoma_hint32_set(&run->blocks_bytes, 1); /* no offset but 0 */
    set_heads(run, chunks, AOMA_CLASS_LARGE);
    aoma_store_relaxed(&run->free[0], 0); /* of two frees in the same moment the later one may have left its bit */
    publish_state(run, AOMA_RUN_FULL, AOMA_CLASS_LARGE, 1);
}

/* ---- partial bits ---- */

static void set_partial_bit(struct aoma_segment *segment, unsigned chunk, unsigned class)
{
    uint64_t old = aoma_fetch_or_full(&segment->partial[class], (uint64_t)1 << chunk);

    aoma_index_raise_if(segment, AOMA_KEY_PARTIAL(class), old == 0);
}

/* The bit is a hint, so a clear one (its setter is still on its way) is as good. */
static void clear_partial_bit(struct aoma_segment *segment, unsigned chunk, unsigned class)
{
    aoma_fetch_clear_full(&segment->partial[class], (uint64_t)1 << chunk);
}

/* ---- what free blocks lead to ---- */

struct survey {
    bool any;
    bool all;
};

static struct survey survey_free(const struct aoma_run *run, unsigned count)
{
    struct survey survey = {false, true};

    for (unsigned i = 0; i < words_for(count) && (survey.all || !survey.any); i++) {
        uint64_t free = aoma_load_acquire(&run->free[i]);

        survey.any |= free != 0;
        survey.all &= free == aoma_blocks_mask(count, i);
    }
    return survey;
}

/* Whether all blocks were collected; if not, those that were are free again. */
static bool collect(struct aoma_run *run, unsigned count)
{
    unsigned words = words_for(count);
    unsigned i;

    for (i = 0; i < words; i++) {
        uint64_t all = aoma_blocks_mask(count, i);
        uint64_t seen = all;

        if (!aoma_cas_full(&run->free[i], &seen, 0))
            break;
    }
    if (i == words)
        return true;
    while (i-- > 0)
        put(run, i, aoma_blocks_mask(count, i));
    return false;
}

/*
 * The collector's part of (5); before is the state that it has changed to EMPTY. True: the chunks have gone back. Only
 * then has the run no bytes any more: until it is known that no block is missing, a thread that took one may use it and
 * give it back.
 */
static bool collect_and_release(struct aoma_run *run, uint64_t before)
{
    uint64_t collecting = next_state(before, AOMA_RUN_EMPTY);

    if (aoma_state_of(before) == AOMA_RUN_PARTIAL)
        clear_partial_bit(run->segment, chunk_index(run), aoma_state_class(before));
    if (collect(run, aoma_state_count(before))) {
        count_chunks(aoma_state_class(before), -(size_t)run->chunks);
        aoma_hint32_set(&run->blocks_bytes, 0); /* before the chunks can be anybody else's: aoma_segment_give is full */
        aoma_span_give(run->segment, chunk_index(run), run->chunks);
        return true;
    }
    aoma_store_release(&run->state, next_state(collecting, AOMA_RUN_FULL));
    aoma_fence_full(); /* settle's next look at the words comes after */
    return false;
}

/*
 * The caller may hold no block of the run, so the run may be anything by now: every change is a CAS from a state that
 * was read before the words were, and its version says that nothing happened in between.
 */
void aoma_run_settle(struct aoma_run *run)
{
    aoma_fence_after_rmw();
    uint64_t state = aoma_load_acquire(&run->state);

    while (aoma_state_of(state) == AOMA_RUN_FULL || aoma_state_of(state) == AOMA_RUN_PARTIAL) {
        aoma_fence_after_rmw(); /* pairs with aoma_run_give's: one of both sees the other */
        struct survey free = survey_free(run, aoma_state_count(state));
        uint64_t before = state;

        if (free.all) {
            if (aoma_cas_full(&run->state, &state, next_state(before, AOMA_RUN_EMPTY))) {
                if (collect_and_release(run, before))
                    return;
                state = aoma_load_acquire(&run->state);
            }
        } else if (free.any && aoma_state_of(before) == AOMA_RUN_FULL && aoma_state_class(before) < AOMA_CLASSES) {
            if (aoma_cas_full(&run->state, &state, next_state(before, AOMA_RUN_PARTIAL))) {
                set_partial_bit(run->segment, chunk_index(run), aoma_state_class(before));
                state = aoma_load_acquire(&run->state);
            }
        } else {
            return;
        }
    }
}

void aoma_run_settle_freed(struct aoma_run *run)
{
    aoma_run_settle(run);
    aoma_segment_purge_if_due(run->segment);
}

/* ---- into and out of headers ---- */

static unsigned count_of(const struct aoma_run *run)
{
    return aoma_state_count(aoma_load_acquire(&run->state));
}

/* Whether a word is worth going to. count: blocks of the run. */
static bool is_worth(const struct aoma_run *run, unsigned word, unsigned count, bool choosy)
{
    uint64_t free = aoma_load_relaxed(&run->free[word]);
    unsigned blocks = count - 64 * word < 64 ? count - 64 * word : 64;

    return free && (!choosy || 16 * aoma_count_bits(free) >= AOMA_RUN_WORTH_16THS * blocks);
}

bool aoma_run_take_any(aoma_active *active, unsigned class, bool choosy, void **block)
{
    struct aoma_run *run = aoma_active_run(*active);
    unsigned count = count_of(run);
    unsigned words = words_for(count);
    unsigned word = aoma_active_word(*active);

    for (unsigned i = 0; i < words && !*block; i++) {
        word = word + 1 < words ? word + 1 : 0;
        if (is_worth(run, word, count, choosy)) {
            *active = aoma_active_at(run, word);
            if (aoma_run_take(*active, class, block))
                return true;
        }
    }
    return false;
}

bool aoma_run_activate(struct aoma_run *run, unsigned class)
{
    uint64_t state = aoma_load_acquire(&run->state);

    do {
        if (aoma_state_of(state) != AOMA_RUN_PARTIAL || aoma_state_class(state) != class)
            return false;
    } while (!aoma_cas_full(&run->state, &state, next_state(state, AOMA_RUN_ACTIVE)));
    if (AOMA_CHECKS_EXPENSIVE)
        check_run(run);
    return true;
}

void aoma_run_retire(struct aoma_run *run)
{
    uint64_t state = aoma_load_acquire(&run->state);

    AOMA_ASSERT(aoma_state_of(state) == AOMA_RUN_ACTIVE);
    if (AOMA_CHECKS_EXPENSIVE)
        check_run(run);
    while (!aoma_cas_full(&run->state, &state, next_state(state, AOMA_RUN_FULL)))
        ;
    aoma_run_settle(run);
}

bool aoma_run_has_free(const struct aoma_run *run, bool choosy)
{
    unsigned count = count_of(run);

    for (unsigned i = 0; i < words_for(count); i++) {
        if (is_worth(run, i, count, choosy))
            return true;
    }
    return false;
}

bool aoma_run_is_idle(const struct aoma_run *run)
{
    return survey_free(run, count_of(run)).all;
}
