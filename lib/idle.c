/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

#include "idle.h"
#include "atomics.h"
#include "kept.h"
#include "source.h"

static struct aoma_counter dirty_free; /* a sum of relaxed additions, exact when all is quiet */

/*
 * How much of the idle limit nobody needs. A round ends when as many bytes of chunks have been given back as are
 * mapped, and some. What of the dirty free memory was not taken in the whole of a round serves nobody: a part of it
 * comes off the limit. If all was taken, the limit rises again; and if what was faulted in is much beside what callers
 * had of it, since then purging costs more than the memory is worth (large objects, of which each comes from chunks;
 * a chunk of small blocks serves many calls). If there was more than the limit all the time, since it lies too
 * scattered to be purged, the limit goes back to what there is: else each further free would purge what it has just
 * freed. Hints: what threads write at once is lost.
 */
#define AOMA_FRESH_SHIFT 5 /* 1/32 */

static struct {
    struct aoma_hint given;  /* bytes, in this round */
    struct aoma_hint fresh;  /* taken without memory, in this round */
    struct aoma_hint served; /* to callers, in this round */
    struct aoma_hint least;  /* dirty free bytes at their fewest, in this round */
    struct aoma_hint excess; /* bytes that the limit is lower by */
    struct aoma_hint stuck;  /* bytes that could not be purged; forgotten by and by */
    struct aoma_hint locked; /* dirty free bytes when a purge was refused; 0: the last in this round was not */
} idle;

size_t aoma_idle_dirty_bytes(void)
{
    return aoma_counter_sum(&dirty_free);
}

size_t aoma_idle_limit(void)
{
    return AOMA_IDLE_BYTES + (aoma_source_mapped_bytes() >> AOMA_IDLE_SHIFT);
}

/* The limit less its excess. */
static size_t needed_limit(void)
{
    size_t limit = aoma_idle_limit();
    size_t excess = aoma_hint_get(&idle.excess);

    return limit > excess + AOMA_IDLE_LEAST_BYTES ? limit - excess : AOMA_IDLE_LEAST_BYTES;
}

size_t aoma_idle_surplus(void)
{
    size_t limit = needed_limit();
    size_t dirty = aoma_idle_dirty_bytes();

    if (aoma_likely(dirty + aoma_kept_excess() <= limit))
        return 0;
    size_t bytes = dirty + aoma_kept_counted_excess();
    return bytes > limit ? bytes - limit : 0;
}

/* Memory that is locked (mlockall) cannot be purged, and to try costs a system call each time. */
bool aoma_idle_is_locked(void)
{
    size_t locked = aoma_hint_get(&idle.locked);

    return aoma_unlikely(locked) && aoma_idle_dirty_bytes() / 2 < locked;
}

void aoma_idle_note_purged(bool done)
{
    size_t locked = done ? 0 : aoma_idle_dirty_bytes();

    if (locked != aoma_hint_get(&idle.locked))
        aoma_hint_set(&idle.locked, locked);
}

static AOMA_NOINLINE void end_round(void)
{
    size_t least = aoma_hint_get(&idle.least);
    size_t excess = aoma_hint_get(&idle.excess);
    size_t stuck = aoma_hint_get(&idle.stuck);
    size_t limit = needed_limit();
    bool costly = aoma_hint_get(&idle.fresh) > aoma_hint_get(&idle.served) >> AOMA_FRESH_SHIFT;

    if (least > limit && excess) { /* all the time, in spite of purges */
        excess -= least - limit < excess ? least - limit : excess;
        stuck = least;
    } else {
        stuck -= stuck / 64;
        if (costly)
            excess -= excess / 2;
        else if (least > stuck + AOMA_IDLE_LEAST_BYTES / 2)
            excess += (least - stuck) / 4;
        else
            excess -= excess / 4;
    }
    if (excess > aoma_idle_limit())
        excess = aoma_idle_limit();
    aoma_hint_set(&idle.excess, excess);
    aoma_hint_set(&idle.stuck, stuck);
    aoma_hint_set(&idle.locked, 0);
    aoma_hint_set(&idle.least, aoma_idle_dirty_bytes());
    aoma_hint_set(&idle.given, 0);
    aoma_hint_set(&idle.fresh, 0);
    aoma_hint_set(&idle.served, 0);
}

static void add_to(struct aoma_hint *hint, size_t bytes)
{
    if (bytes)
        aoma_hint_set(hint, aoma_hint_get(hint) + bytes);
}

void aoma_idle_note_given(size_t bytes)
{
    size_t given = aoma_hint_get(&idle.given) + bytes;

    aoma_hint_set(&idle.given, given);
    if (aoma_unlikely(given > aoma_source_mapped_bytes() + AOMA_IDLE_BYTES))
        end_round();
}

void aoma_idle_note_served(size_t bytes)
{
    add_to(&idle.served, bytes);
}

void aoma_idle_note_taken(size_t fresh)
{
    add_to(&idle.fresh, fresh);
    size_t bytes = aoma_idle_dirty_bytes();

    if (bytes < aoma_hint_get(&idle.least))
        aoma_hint_set(&idle.least, bytes);
}

void aoma_idle_count_dirty(size_t add, size_t sub)
{
    if (add != sub)
        aoma_counter_add(&dirty_free, add - sub);
}
