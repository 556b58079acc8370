/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Idle is what costs memory and serves nobody: dirty free chunks, and kept mappings beyond those in use (kept.h). So
 * much of it is left alone, since the next allocations save its page faults: 4 MiB and 1/16 of what is mapped. That is
 * less than twice what was asked for (two windows for one and a byte), so it stays below 1/8 of a peak.
 * aoma_idle_surplus() takes off what nobody has needed for a while, down to AOMA_IDLE_LEAST_BYTES.
 */
#ifndef AOMA_IDLE_H
#define AOMA_IDLE_H

#include <stdbool.h>
#include <stddef.h>

#include "units.h"

#define AOMA_IDLE_BYTES (4 * AOMA_MIB)
#define AOMA_IDLE_SHIFT 4
#define AOMA_IDLE_LEAST_BYTES AOMA_MIB

/* What may be idle at most. */
size_t aoma_idle_limit(void);
/* The bytes that are idle beyond what is needed, or 0. */
size_t aoma_idle_surplus(void);

/* Whether the last purge was refused, and neither has a round ended nor twice as much become dirty since: then none is
 * due. */
bool aoma_idle_is_locked(void);
void aoma_idle_note_purged(bool done);

/* Free chunks' bytes that still cost memory; changed by segment.c, and by tests. */
size_t aoma_idle_dirty_bytes(void);
void aoma_idle_count_dirty(size_t add, size_t sub);

/*
 * For the rounds of idle.c, once the bytes are counted: memory of chunks was given back; some was taken, of which so
 * many bytes have yet to be faulted in; so many bytes are there for callers, in a word of a run or as a large object.
 */
void aoma_idle_note_given(size_t bytes);
void aoma_idle_note_taken(size_t fresh);
void aoma_idle_note_served(size_t bytes);

#endif /* AOMA_IDLE_H */
