/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

#include "census.h"
#include "fail.h"
#include "segment.h"

static void count_run(struct aoma_census *census, const struct aoma_run *run)
{
    uint64_t anchor = aoma_load_acquire(&run->anchor);
    enum aoma_run_state state = aoma_anchor_state(anchor);

    census->runs[state]++;
    if (aoma_run_is_large(run)) {
        census->large++;
        census->chunks_in_runs += run->block_bytes >> AOMA_CHUNK_SHIFT;
        return;
    }
    census->chunks_in_runs += run->chunks;
    census->blocks += run->block_count;
    census->blocks_free += aoma_anchor_count(anchor);
    aoma_census_check_run(run);
}

static void count_segment(struct aoma_census *census, const struct aoma_segment *segment)
{
    uint64_t owned = aoma_load_acquire(&segment->owned);

    census->segments++;
    census->chunks_owned += (size_t)__builtin_popcountll(owned);
    census->chunks_taken += (size_t)__builtin_popcountll(owned & aoma_load_acquire(&segment->taken));
    for (unsigned i = 0; i < AOMA_SEGMENT_CHUNKS; i++) {
        if (aoma_anchor_state(aoma_load_acquire(&segment->run[i].anchor)) != AOMA_RUN_EMPTY)
            count_run(census, &segment->run[i]);
    }
}

void aoma_census_take(struct aoma_census *census)
{
    *census = (struct aoma_census){0};
    for (uint32_t number = 0; number < aoma_segment_numbers(); number++) {
        const struct aoma_segment *segment = aoma_segment_by_number(number);
        if (segment)
            count_segment(census, segment);
    }
}

/* Why the list of free blocks is wrong as of this anchor, or NULL. */
static const char *judge_list(const struct aoma_run *run, uint64_t anchor)
{
    uint32_t units = (uint32_t)(run->block_bytes >> AOMA_UNIT_SHIFT);
    uint32_t at = aoma_anchor_first(anchor);

    if (aoma_anchor_count(anchor) > run->block_count)
        return "an anchor counts more free blocks than the run has";
    for (unsigned i = aoma_anchor_count(anchor); i > 0; i--) {
        uintptr_t block = run->base + ((uintptr_t)at << AOMA_UNIT_SHIFT);
        if (!aoma_run_is_block(run, block))
            return "a free list leaves its run: a freed block was written to";
        at = (at + units + (uint32_t)aoma_link_distance_racy((const void *)block)) & AOMA_ANCHOR_FIRST_MASK;
    }
    return NULL;
}

void aoma_census_check_run(const struct aoma_run *run)
{
    uint64_t anchor = aoma_load_acquire(&run->anchor);
    const char *wrong = judge_list(run, anchor);

    if (wrong && aoma_load_acquire(&run->anchor) == anchor)
        aoma_fail_invariant(wrong);
}
