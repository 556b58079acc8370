/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

#include "bytes.h"
#include "census.h"
#include "fail.h"
#include "segment.h"

static void check_words(const struct aoma_run *run, uint64_t state)
{
    unsigned count = aoma_state_count(state);
    uint64_t any = 0;

    for (unsigned i = 0; i < AOMA_RUN_WORDS; i++) {
        uint64_t free = aoma_load_acquire(&run->free[i]);

        if (free & ~(64 * i < count ? aoma_blocks_mask(count, i) : 0))
            aoma_fail_invariant("a run has a free block that it does not have");
        any |= free;
    }
    if (aoma_state_of(state) == AOMA_RUN_FULL && any)
        aoma_fail_invariant("a run that is not listed has free blocks");
}

static void check_listed(const struct aoma_run *run, uint64_t state)
{
    unsigned chunk = (unsigned)(run - run->segment->run);
    uint64_t word = aoma_load_acquire(&run->segment->partial[aoma_state_class(state)]);

    if (!(word >> chunk & 1))
        aoma_fail_invariant("a partial run has no partial bit");
}

static void check_run(const struct aoma_run *run)
{
    uint64_t state = aoma_load_acquire(&run->state);

    if (aoma_state_of(state) == AOMA_RUN_EMPTY || aoma_state_class(state) == AOMA_CLASS_LARGE)
        return;
    check_words(run, state);
    if (aoma_state_of(state) == AOMA_RUN_PARTIAL)
        check_listed(run, state);
}

static void count_run(struct aoma_census *census, const struct aoma_run *run)
{
    uint64_t state = aoma_load_acquire(&run->state);

    census->full += aoma_state_of(state) == AOMA_RUN_FULL;
    census->partial += aoma_state_of(state) == AOMA_RUN_PARTIAL;
    census->active += aoma_state_of(state) == AOMA_RUN_ACTIVE;
    census->chunks_in_runs += run->chunks;
    if (aoma_state_class(state) == AOMA_CLASS_LARGE) {
        census->large++;
        return;
    }
    census->blocks += aoma_state_count(state);
    for (unsigned i = 0; i < AOMA_RUN_WORDS; i++)
        census->blocks_free += aoma_count_bits(aoma_load_acquire(&run->free[i]));
}

static void count_segment(struct aoma_census *census, const struct aoma_segment *segment)
{
    uint64_t owned = aoma_load_acquire(&segment->owned);

    census->segments++;
    census->chunks_owned += aoma_count_bits(owned);
    census->chunks_taken += aoma_count_bits(owned & aoma_load_acquire(&segment->taken));
    for (unsigned i = 0; i < AOMA_SEGMENT_CHUNKS; i++) {
        if (aoma_state_of(aoma_load_acquire(&segment->run[i].state)) != AOMA_RUN_EMPTY)
            count_run(census, &segment->run[i]);
    }
}

void aoma_census_count(struct aoma_census *census)
{
    aoma_bytes_fill(census, 0, sizeof *census); /* of an initializer, gcc makes a call of memset for 32-bit ARM */
    for (uint32_t number = 0; number < aoma_segment_numbers(); number++) {
        const struct aoma_segment *segment = aoma_segment_by_number(number);
        if (segment)
            count_segment(census, segment);
    }
}

void aoma_census_take(struct aoma_census *census)
{
    for (uint32_t number = 0; number < aoma_segment_numbers(); number++) {
        const struct aoma_segment *segment = aoma_segment_by_number(number);
        for (unsigned i = 0; segment && i < AOMA_SEGMENT_CHUNKS; i++)
            check_run(&segment->run[i]);
    }
    aoma_census_count(census);
}
