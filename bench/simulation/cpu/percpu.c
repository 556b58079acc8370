/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Sections are told to look for the CPU's number in a variable of this file, in place of the kernel's area. Without
 * sections, since nothing is registered, heaps go by the address of the stack, which each virtual CPU has its own of.
 */
#include "simulation.h"

#include "rseq_area.h"

const char *const bench_cpu_mode = "rseq";

static __thread volatile uint32_t virtual_cpu;

void bench_cpu_start(void)
{
    uintptr_t distance = (uintptr_t)&virtual_cpu - (uintptr_t)__builtin_thread_pointer();

    if (aoma_rseq_id() != 0)
        aoma_ptr_store_release(&aoma_rseq_place.id, distance);
}

void bench_cpu_set(unsigned cpu)
{
    virtual_cpu = cpu;
}
