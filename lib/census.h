/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Counts and validates the whole heap, for tests and for the check
 * level `expensive`. Exact while no other thread is inside the library.
 */
#ifndef AOMA_CENSUS_H
#define AOMA_CENSUS_H

#include <stddef.h>

#include "run.h"

struct aoma_census {
    size_t segments;
    size_t chunks_owned;
    size_t chunks_taken;
    size_t chunks_in_runs;        /* equal to chunks_taken, unless a thread holds some or was killed holding some */
    size_t full, partial, active; /* runs by state */
    size_t large;                 /* of the full ones */
    size_t blocks;                /* of all runs but the large ones */
    size_t blocks_free;
} __attribute__((aligned(AOMA_UNIT_BYTES))); /* what aoma_bytes_fill() fills */

/* Aborts when a run's words contradict its state. */
void aoma_census_take(struct aoma_census *census);

/* Counts without the checks: for a forked child, where threads that are gone were in the middle of something. */
void aoma_census_count(struct aoma_census *census);

#endif /* AOMA_CENSUS_H */
