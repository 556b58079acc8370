/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* Variant percpu, with CPUs that are not there. The library is the build with injection points of tests/fronts. */
#include "world.h"

#include "owner.h"
#include "inject.h"

unsigned (*inject_number)(unsigned number);
void (*inject_window)(enum inject_window window);
int inject_old_kernel;

static _Thread_local volatile uint32_t virtual_cpu;

static unsigned answer_virtual_cpu(unsigned number)
{
    (void)number;
    return virtual_cpu;
}

static void enter_window(enum inject_window window)
{
    (void)window;
    call_in_window();
}

void cpu_set(uint32_t number)
{
    virtual_cpu = number;
}

uint32_t cpu_get(void)
{
    return virtual_cpu;
}

void cpu_begin(void)
{
    virtual_cpu = 0;
    inject_number = answer_virtual_cpu;
    inject_window = enter_window;
}

/* Where sections find the number: this thread's, once there are fronts at all. */
void cpu_use_virtual(void)
{
    uintptr_t distance = (uintptr_t)&virtual_cpu - (uintptr_t)aoma_thread_pointer();

    if (aoma_rseq_id())
        aoma_ptr_store_release(&aoma_rseq_place.id, distance);
}

size_t cpu_cached(void)
{
    return aoma_fronts_count();
}
