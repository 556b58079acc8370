/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* Whether there are fronts, and why not. Decided when memory is first looked for after mmap was enabled. */
#define _GNU_SOURCE
#include "membarrier.h"
#include "owner.h"
#include "thread_end.h"

struct aoma_ptr aoma_threads_on;

static struct aoma_hint refused; /* 0 -> 1: membarrier is refused, for good */

bool aoma_fronts_barrier(void)
{
    return aoma_membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
}

static const char *reason_against(void)
{
    if (!aoma_source_mmap_enabled())
        return "cas: mmap is not enabled";
    return aoma_hint_get(&refused) ? "cas: membarrier is refused" : NULL;
}

bool aoma_fronts_turn_on(void)
{
    if (aoma_fronts_on())
        return true;
    if (reason_against())
        return false;
    if (!aoma_membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED)) {
        aoma_hint_set(&refused, 1);
        return false;
    }
    aoma_thread_end_prepare();
    aoma_ptr_store_release(&aoma_threads_on, 1);
    return true;
}

const char *aoma_fronts_mode(void)
{
    return aoma_fronts_turn_on() ? "tls" : reason_against();
}
