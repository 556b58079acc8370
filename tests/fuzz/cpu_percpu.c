/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* Variant percpu, with CPUs that are not there. */
#include "cpu_fronts.h"
#include "world.h"

#include "owner.h"

void cpu_forget(void)
{
}

/* Where sections find the number: this thread's, once there are fronts at all. */
void cpu_use_virtual(void)
{
    uintptr_t distance = (uintptr_t)&virtual_number - (uintptr_t)aoma_thread_pointer();

    if (aoma_rseq_id())
        aoma_ptr_store_release(&aoma_rseq_place.id, distance);
}
