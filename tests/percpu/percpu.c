/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

#include "percpu.h"

#include <aomalloc.h>
#include <string.h>

#include "census.h"
#include "front.h"

unsigned (*inject_cpu)(unsigned cpu);
void (*inject_window)(enum inject_window window);
int inject_old_kernel;

void require_fronts(void)
{
    AO_malloc_enable_mmap();
    if (strcmp(AO_malloc_mode(), "rseq") != 0)
        test_skip(AO_malloc_mode());
}

size_t blocks_out(void)
{
    struct aoma_census census;

    aoma_census_take(&census);
    CHECK(census.chunks_taken == census.chunks_in_runs);
    CHECK(census.blocks >= census.blocks_free + aoma_fronts_count());
    return census.blocks - census.blocks_free - aoma_fronts_count();
}

void assert_accounted(size_t out)
{
    CHECK(blocks_out() == out);
    aoma_fronts_drain();
    CHECK(aoma_fronts_count() == 0);
    CHECK(blocks_out() == out);
}
