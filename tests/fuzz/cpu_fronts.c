/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

#include "cpu_fronts.h"
#include "world.h"

#include "inject.h"
#include "owner.h"

unsigned (*inject_number)(unsigned number);
void (*inject_window)(enum inject_window window);
int inject_old_kernel;

_Thread_local volatile uint32_t virtual_number;

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

void cpu_begin(void)
{
    virtual_number = 0;
    cpu_forget();
    inject_number = answer_virtual_number;
    inject_window = enter_window;
}

size_t cpu_cached(void)
{
    return aoma_fronts_count();
}
