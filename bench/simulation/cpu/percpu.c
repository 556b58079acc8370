/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* Sections are told to look for the CPU's number in a variable of this file, in place of the kernel's area. */
#include "simulation.h"

#include "aomalloc.h"
#include "rseq_area.h"

#include <stddef.h>
#include <string.h>

static __thread volatile uint32_t virtual_cpu;

const char *bench_cpu_start(void)
{
    const char *mode = AO_malloc_mode();

    if (strcmp(mode, "rseq") != 0)
        return mode;
    uintptr_t distance = (uintptr_t)&virtual_cpu - (uintptr_t)__builtin_thread_pointer();
    aoma_ptr_store_release(&aoma_rseq_place.id, distance);
    return NULL;
}

void bench_cpu_set(unsigned cpu)
{
    virtual_cpu = cpu;
}
