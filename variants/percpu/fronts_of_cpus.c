/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* A front for each number of a CPU that needs one. */
#include "owner.h"

struct aoma_ptr aoma_fronts[AOMA_NUMBERS];

static AOMA_NOINLINE bool make(unsigned number)
{
    struct aoma_front *front = aoma_front_make(number);

    return front && aoma_ptr_cas_full(&aoma_fronts[number], 0, (uintptr_t)front);
}

bool aoma_front_require(unsigned stack)
{
    (void)stack;
    uint32_t number = aoma_rseq_field(aoma_rseq_id());

    if (number >= AOMA_NUMBERS)
        return false;
    if (aoma_likely(aoma_ptr_load_acquire(&aoma_fronts[number])))
        return true;
    return !aoma_front_made(number) && make(number);
}
