/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* A processor for which there are none. */

#include "breakpoint.h"
#include "test.h"

bool breakpoints_exist(void)
{
    return false;
}

bool breakpoints_find(void (*call)(void), struct breakpoints *found)
{
    (void)call;
    (void)found;
    return false;
}

void breakpoint_set(uintptr_t address, void (*on_break)(void))
{
    (void)address;
    (void)on_break;
    CHECK(false);
}

bool breakpoint_was_hit(void)
{
    return false;
}
