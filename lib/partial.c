/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * A partial bit is cleared by a CAS, and whoever does that alone tries to activate the run. run.c, (6), says why a bit
 * may be stale and none is missing; index.c, why a segment that the index does not name has none.
 *
 * Progress: lock-free; each segment that the index names is passed at most twice.
 */
#include <limits.h>

#include "index.h"
#include "partial.h"

/* Runs with too few free blocks that a search passes by before a new run is made instead. */
#define AOMA_RUN_PASSED_BY 8u

/* A search for PARTIAL runs. */
struct search {
    unsigned class;
    bool choosy;
    unsigned tries; /* runs that may still be passed by */
    struct aoma_hint *cursor;
};

/* Of so many runs, the lowest, a search that takes any run takes the fullest. */
#define AOMA_RUN_COMPARED 8u

/* No copy of it in fullest, where its constants would want room on the stack. */
static AOMA_NOINLINE unsigned count_free(const struct aoma_run *run)
{
    unsigned free = 0;

    for (unsigned i = 0; i < AOMA_RUN_WORDS; i++)
        free += aoma_count_bits(aoma_load_relaxed(&run->free[i]));
    return free;
}

/* The bit of the run with the fewest free blocks: blocks that go to the fullest runs let the others become empty. */
static unsigned fullest(const struct aoma_segment *segment, uint64_t bits)
{
    unsigned best = UINT_MAX; /* free blocks and, below, the bit; at first too large for a bit */

    for (unsigned i = 0; bits && i < AOMA_RUN_COMPARED; bits &= bits - 1, i++) {
        unsigned this = count_free(&segment->run[aoma_lowest_bit(bits)]) << CHAR_BIT | aoma_lowest_bit(bits);

        if (this < best)
            best = this;
    }
    return best & UCHAR_MAX;
}

/* A chunk's number among all. */
static size_t place_of(const struct aoma_segment *segment, unsigned chunk)
{
    return ((size_t)segment->number << AOMA_SEGMENT_CHUNKS_SHIFT) + chunk;
}

/* The bit of the next run of the segment at chunk from or above that is worth taking; AOMA_SEGMENT_CHUNKS: none. Looks,
 * takes nothing. */
static unsigned next_worthwhile(const struct aoma_segment *segment, uint64_t word, unsigned from, struct search *search)
{
    uint64_t bits = from < AOMA_SEGMENT_CHUNKS ? word & (~(uint64_t)0 << from) : 0;

    if (!search->choosy)
        return fullest(segment, bits);
    for (; bits && search->tries; bits &= bits - 1) {
        unsigned chunk = aoma_lowest_bit(bits);

        if (aoma_run_has_free(&segment->run[chunk], true))
            return chunk;
        search->tries--;
        aoma_hint_set(search->cursor,
                      place_of(segment, chunk) + 1); /* or the next search would pass by the same ones */
    }
    return AOMA_SEGMENT_CHUNKS;
}

/* The first worthwhile PARTIAL run of the segment at chunk from or above, made ACTIVE. */
static struct aoma_run *take_partial_in(struct aoma_segment *segment, unsigned from, struct search *search)
{
    struct aoma_word *partial = &segment->partial[search->class];
    uint64_t word = aoma_load_acquire(partial);
    unsigned chunk;

    while ((chunk = next_worthwhile(segment, word, from, search)) < AOMA_SEGMENT_CHUNKS) {
        if (!aoma_cas_full(partial, &word, word & ~((uint64_t)1 << chunk)))
            continue;
        aoma_hint_set(search->cursor, place_of(segment, chunk) + 1);
        if (aoma_run_activate(&segment->run[chunk], search->class))
            return &segment->run[chunk];
        word = aoma_load_acquire(partial);
    }
    return NULL;
}

/* The same in the segments that the index names, of numbers from to end - 1. */
static struct aoma_run *search_segments(uint32_t from, uint32_t end, struct search *search)
{
    unsigned key = AOMA_KEY_PARTIAL(search->class);
    struct aoma_run *run = NULL;

    while (!run && search->tries && (from = aoma_index_next(key, from, end)) != AOMA_INDEX_NONE) {
        struct aoma_segment *segment = aoma_segment_by_number(from++);
        uint64_t snapshot = aoma_index_snapshot(segment, key);

        run = take_partial_in(segment, 0, search);
        if (!run && aoma_load_acquire(&segment->partial[search->class]) == 0) {
            if (aoma_index_lower(segment, key, snapshot) && aoma_load_acquire(&segment->partial[search->class]))
                aoma_index_raise(segment, key, true);
        } else if (!run)
            aoma_hint_set(search->cursor, (size_t)from << AOMA_SEGMENT_CHUNKS_SHIFT);
    }
    return run;
}

/*
 * In a circle, so that a run is asked again only after all others have been: by then it has gathered as many free
 * blocks as frees allow. (The most recently freed one, on top of a stack, would have a single block, and each refill
 * would buy one malloc.)
 */
struct aoma_run *aoma_partial_take(unsigned class, bool choosy, struct aoma_hint *cursor)
{
    struct search search = {class, choosy, choosy ? AOMA_RUN_PASSED_BY : UINT_MAX, cursor};
    size_t at = aoma_hint_get(cursor);
    uint32_t number = (uint32_t)(at >> AOMA_SEGMENT_CHUNKS_SHIFT);
    struct aoma_segment *segment = aoma_segment_by_number(number);
    struct aoma_run *run = NULL;

    /* Most often the segment that had one last time has another. */
    if (segment)
        run = take_partial_in(segment, at % AOMA_SEGMENT_CHUNKS, &search);
    if (!run)
        run = search_segments(number + 1, aoma_segment_numbers(), &search);
    if (!run)
        run = search_segments(0, number + 1, &search);
    return run;
}
