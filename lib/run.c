/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * The states follow Maged Michael, "Scalable lock-free dynamic memory allocation" (PLDI 2004), and LRMalloc (Leite and Rocha, 2018); the bits
 * in place of their lists of blocks, and the bitmap of partial runs in place of their lists of descriptors, are ours.
 *
 * Correctness, in short:
 * (1) A block has one holder. It leaves ready or freed by a CAS that clears its bit, and its holder alone sets a bit again. So no two
 *     threads get it, and all blocks of a run are accounted for: ready, freed, or in someone's hands.
 * (2) While a thread holds a block, the run cannot become EMPTY: that takes all blocks (5). So a thread that took a block from a run
 *     it had found in a header long ago holds a block of what the run is now; if that is another class, it gives it back.
 * (3) A run is known in exactly one place. ACTIVE: in a header, or in the hands of the thread that is about to put it there or has taken it out.
 *     PARTIAL: by a set bit in partial[class] of its segment, by a thread that has just made it PARTIAL and will set the bit, or by one that
 *     has just cleared the bit and will try to activate it. FULL: by nobody but its blocks. EMPTY: by the owner of its chunks.
 * (4) Nothing gets stuck in a FULL run: who frees sets the bit, then looks at the state; who makes a run FULL looks at the bits afterwards;
 *     both steps are full barriers. Likewise for the last block of a PARTIAL run.
 * (5) Who changes FULL or PARTIAL to EMPTY is the collector: it takes the freed bits of each word, all of a word's blocks in one CAS. When it has
 *     them all it is the only holder, so the chunks are its own. If one is missing (a thread that overslept has just moved freed bits,
 *     and will find that the run is not ACTIVE, and give them back), it puts back what it has and makes the run FULL, and looks again.
 * (6) ready is not 0 only while ACTIVE: who moves bits there looks at the state afterwards, and takes them out again if the run was
 *     retired meanwhile; who retires takes out what is there after the change of state. Full barriers in both, so one of them sees it.
 * (7) A partial bit may be stale (set late, when the run was EMPTY or another class's already): who takes such a bit finds another state or
 *     class in the one state word and drops it. A bit is never missing: it is set after each change to PARTIAL, and whoever clears it
 *     looks at the state afterwards, or is the owner of the run, who clears it before the chunks can be used again.
 * A thread that dies between two of these steps takes with it one run or one word of blocks.
 *
 * Progress: lock-free; a failed CAS is another thread's success, and a collector that fails had another thread take blocks. No loop is longer than a
 * run has words; the search for a partial run passes each segment that the index names at most twice.
 */
#include "index.h"
#include "run.h"
#include "span.h"

#define FAULT_NOT_IN_USE "not in use: freed already or never handed out"

_Static_assert(AOMA_CHUNK_BYTES / AOMA_UNIT_BYTES <= AOMA_RUN_WORDS * 64, "a bit for each block of the smallest class");

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

/* With no blocks, so that no address is one of its. */
static uint64_t empty_state(uint64_t state)
{
    return next_state(state & ~((uint64_t)AOMA_STATE_COUNT_MASK << AOMA_STATE_COUNT_SHIFT), AOMA_RUN_EMPTY);
}

void aoma_run_fail_not_in_use(const void *block, const char *function)
{
    aoma_fail(function, block, FAULT_NOT_IN_USE);
}

/* ---- moving bits ---- */

/* Takes all bits of a word. Acquire: pairs with put. */
static uint64_t take_all(struct aoma_word *word)
{
    uint64_t bits = aoma_load_relaxed(word);

    while (bits && !aoma_cas_full(word, &bits, 0))
        ;
    return bits;
}

/* Bits that are set already where they are being put: who freed them twice got past the check in aoma_run_give. */
static AOMA_COLD AOMA_NORETURN void fail_twice(const struct aoma_run *run, unsigned word, uint64_t bits)
{
    unsigned class = aoma_state_class(aoma_load_relaxed(&run->state));
    size_t bytes = class < AOMA_CLASSES ? aoma_class_bytes(class) : 0;

    aoma_run_fail_not_in_use(aoma_block_address(run, 64 * word + aoma_lowest_bit(bits), bytes), "AO_free");
}

/* Puts bits that the caller holds. */
static void put_freed(struct aoma_run *run, unsigned word, uint64_t bits)
{
    uint64_t twice = aoma_fetch_or_full(&run->word[word].freed, bits) & bits;

    if (aoma_unlikely(twice))
        fail_twice(run, word, twice);
}

static void put_ready(struct aoma_run *run, unsigned word, uint64_t bits)
{
    uint64_t twice = aoma_fetch_or_full(&run->word[word].ready, bits) & bits;

    if (aoma_unlikely(twice))
        fail_twice(run, word, twice);
}

void aoma_run_give_stray(struct aoma_run *run, unsigned index)
{
    put_freed(run, index / 64, (uint64_t)1 << (index % 64));
    aoma_run_settle(run);
}

/* ---- making runs ---- */

/* Everything else about the run is written before; release pairs with the acquire of whoever takes a block or reads the state. */
static void publish_state(struct aoma_run *run, enum aoma_run_state to, unsigned class, unsigned count)
{
    uint64_t version = aoma_load_relaxed(&run->state) & ~(AOMA_STATE_VERSION_ONE - 1);

    AOMA_ASSERT(aoma_state_of(aoma_load_relaxed(&run->state)) == AOMA_RUN_EMPTY);
    /* Only the owner changes the state of an EMPTY run (the collector's way back to FULL is the owner's as well): a store will do. */
    aoma_store_release(&run->state, (version + AOMA_STATE_VERSION_ONE) | (uint64_t)count << AOMA_STATE_COUNT_SHIFT |
                                        (uint64_t)class << AOMA_STATE_CLASS_SHIFT | to);
}

struct aoma_run *aoma_run_make(unsigned class, bool small)
{
    unsigned chunks = small ? aoma_class_min_chunks(class) : aoma_class_chunks(class);
    bool clean;
    struct aoma_run *run = aoma_segment_take(chunks, 1, &clean);

    if (!run)
        return NULL;
    size_t bytes = aoma_class_bytes(class);
    unsigned count = (unsigned)(((size_t)chunks << AOMA_CHUNK_SHIFT) / bytes);
    run->divisor = aoma_divisor_of(bytes);
    run->chunks = chunks;
    for (unsigned i = 0; i < chunks; i++)
        run[i].head_delta = (uint8_t)i;
    publish_state(run, AOMA_RUN_ACTIVE, class, count);
    for (unsigned i = 0; i < words_for(count); i++)
        aoma_store_release(&run->word[i].ready, aoma_blocks_mask(count, i)); /* after the state: see aoma_run_take */
    return run;
}

void aoma_run_make_large(struct aoma_run *run, size_t chunks)
{
    run->divisor = AOMA_DIVISOR_LARGE;
    run->chunks = chunks;
    run->head_delta = 0;
    publish_state(run, AOMA_RUN_FULL, AOMA_CLASS_LARGE, 1);
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

/* ---- what freed blocks lead to ---- */

struct survey {
    bool any;
    bool all;
};

static struct survey survey_freed(const struct aoma_run *run, unsigned count)
{
    struct survey survey = {false, true};

    for (unsigned i = 0; i < words_for(count); i++) {
        uint64_t freed = aoma_load_acquire(&run->word[i].freed);

        survey.any |= freed != 0;
        survey.all &= freed == aoma_blocks_mask(count, i);
    }
    return survey;
}

/* Whether all blocks were collected; if not, those that were are freed again. */
static bool collect(struct aoma_run *run, unsigned count)
{
    unsigned words = words_for(count);
    unsigned i;

    for (i = 0; i < words; i++) {
        uint64_t all = aoma_blocks_mask(count, i);
        uint64_t seen = all;

        if (!aoma_cas_full(&run->word[i].freed, &seen, 0))
            break;
    }
    if (i == words)
        return true;
    while (i-- > 0)
        put_freed(run, i, aoma_blocks_mask(count, i));
    return false;
}

static void release_chunks(struct aoma_run *run)
{
    unsigned chunk = chunk_index(run);

    if (run->chunks <= AOMA_SEGMENT_CHUNKS - chunk)
        aoma_segment_give(run->segment, chunk, (unsigned)run->chunks);
    else
        aoma_span_give(run->segment, chunk, run->chunks);
}

/* The collector's part of (5); before is the state that it has changed to EMPTY. True: the chunks have gone back. */
static bool collect_and_release(struct aoma_run *run, uint64_t before)
{
    if (aoma_state_of(before) == AOMA_RUN_PARTIAL)
        clear_partial_bit(run->segment, chunk_index(run), aoma_state_class(before));
    if (collect(run, aoma_state_count(before))) {
        release_chunks(run);
        return true;
    }
    aoma_store_release(&run->state, next_state(before, AOMA_RUN_FULL) + AOMA_STATE_VERSION_ONE);
    aoma_fence_full(); /* settle's next look at freed comes after */
    return false;
}

/*
 * The caller may hold no block of the run, so the run may be anything by now: every change is a CAS from a state that was read before
 * freed was, and its version says that nothing happened in between.
 */
void aoma_run_settle(struct aoma_run *run)
{
    uint64_t state = aoma_load_acquire(&run->state);

    while (aoma_state_of(state) == AOMA_RUN_FULL || aoma_state_of(state) == AOMA_RUN_PARTIAL) {
        struct survey freed = survey_freed(run, aoma_state_count(state));
        uint64_t before = state;

        if (freed.all) {
            if (aoma_cas_full(&run->state, &state, empty_state(before))) {
                if (collect_and_release(run, before))
                    return;
                state = aoma_load_acquire(&run->state);
            }
        } else if (freed.any && aoma_state_of(before) == AOMA_RUN_FULL) {
            if (aoma_cas_full(&run->state, &state, next_state(before, AOMA_RUN_PARTIAL))) {
                set_partial_bit(run->segment, chunk_index(run), aoma_state_class(before));
                state = aoma_load_acquire(&run->state);
            }
        } else {
            return;
        }
    }
}

/* ---- taking from runs whose ready blocks are used up ---- */

static bool is_active(uint64_t state, unsigned class)
{
    return aoma_state_of(state) == AOMA_RUN_ACTIVE && aoma_state_class(state) == class;
}

/* Makes bits ready that the caller has taken from freed and holds, together with a block that it keeps. */
static void make_ready(struct aoma_run *run, unsigned word, uint64_t bits, uint64_t state)
{
    put_ready(run, word, bits);
    /* (6): retired meanwhile? We still hold a block, so it is the same run; its owner may have come too early to see the bits. */
    if (aoma_unlikely(aoma_load_acquire(&run->state) != state)) {
        bits = take_all(&run->word[word].ready);
        if (bits)
            put_freed(run, word, bits);
        aoma_run_settle(run);
    }
}

void *aoma_run_take_freed(struct aoma_run *run, unsigned class)
{
    for (unsigned i = 0; i < aoma_class_words(class); i++) {
        uint64_t bits = take_all(&run->word[i].freed);
        if (!bits)
            continue;
        /* Holding blocks: the class cannot change until we give them back. */
        uint64_t state = aoma_load_acquire(&run->state);
        if (!is_active(state, class)) {
            put_freed(run, i, bits);
            aoma_run_settle(run);
            return NULL;
        }
        if (bits & (bits - 1))
            make_ready(run, i, bits & (bits - 1), state);
        return aoma_block_address(run, 64 * i + aoma_lowest_bit(bits), aoma_class_bytes(class));
    }
    return NULL;
}

/* ---- into and out of headers ---- */

static bool activate(struct aoma_run *run, unsigned class)
{
    uint64_t state = aoma_load_acquire(&run->state);

    do {
        if (aoma_state_of(state) != AOMA_RUN_PARTIAL || aoma_state_class(state) != class)
            return false;
    } while (!aoma_cas_full(&run->state, &state, next_state(state, AOMA_RUN_ACTIVE)));
    return true;
}

void aoma_run_retire(struct aoma_run *run)
{
    uint64_t state = aoma_load_acquire(&run->state);
    unsigned words = words_for(aoma_state_count(state));

    AOMA_ASSERT(aoma_state_of(state) == AOMA_RUN_ACTIVE);
    while (!aoma_cas_full(&run->state, &state, next_state(state, AOMA_RUN_FULL)))
        ;
    /* Should the run become another's during this, then moving bits from ready to freed does it no harm. */
    for (unsigned i = 0; i < words; i++) {
        uint64_t bits = take_all(&run->word[i].ready);
        if (bits)
            put_freed(run, i, bits);
    }
    aoma_run_settle(run);
}

bool aoma_run_has_free(const struct aoma_run *run)
{
    for (unsigned i = 0; i < AOMA_RUN_WORDS; i++) {
        if (aoma_load_relaxed(&run->word[i].ready) | aoma_load_relaxed(&run->word[i].freed))
            return true;
    }
    return false;
}

bool aoma_run_is_idle(const struct aoma_run *run)
{
    unsigned count = aoma_state_count(aoma_load_acquire(&run->state));
    bool idle = true;

    for (unsigned i = 0; i < words_for(count); i++)
        idle &= (aoma_load_relaxed(&run->word[i].ready) | aoma_load_relaxed(&run->word[i].freed)) ==
                aoma_blocks_mask(count, i);
    return idle;
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
 * In a circle, so that a run is asked again only after all others have been: by then it has gathered as many freed blocks as frees allow.
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
        } else if (activate(&segment->run[chunk], class)) {
            aoma_hint_set(cursor, ((size_t)number << AOMA_SEGMENT_CHUNKS_SHIFT) + chunk + 1);
            return &segment->run[chunk];
        }
    }
    return NULL;
}
