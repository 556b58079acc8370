/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Variant perthread: the number chooses the heap, the front is this thread's. The library is the build with injection
 * points of tests/fronts.
 */
#include "world.h"

#include "inject.h"
#include "owner.h"

unsigned (*inject_number)(unsigned number);
void (*inject_window)(enum inject_window window);
int inject_old_kernel;

static uint32_t virtual_number;

static unsigned answer_virtual_number(unsigned number)
{
    (void)number;
    return virtual_number;
}

static void enter_window(enum inject_window window)
{
    (void)window;
    call_in_window();
}

void cpu_set(uint32_t number)
{
    virtual_number = number;
}

uint32_t cpu_get(void)
{
    return virtual_number;
}

/* Thread-local data is not among what world_begin() makes new. */
void cpu_begin(void)
{
    virtual_number = 0;
    aoma_thread_front = NULL;
    aoma_thread_skip = 0;
    inject_number = answer_virtual_number;
    inject_window = enter_window;
}

void cpu_use_virtual(void)
{
}

size_t cpu_cached(void)
{
    return aoma_fronts_count();
}
