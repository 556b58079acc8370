/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* Variant perthread: the number chooses the heap, the front is this thread's. */
#include "cpu_fronts.h"
#include "world.h"

#include "owner.h"

/* Thread-local data is not among what state.ld gathers. */
void cpu_forget(void)
{
    aoma_thread_front = NULL;
    aoma_thread_skip = 0;
}

void cpu_use_virtual(void)
{
}
