/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* Variant base: one heap for all CPUs, nothing in front of it. */
#include "world.h"

static uint32_t number;

void cpu_set(uint32_t cpu)
{
    number = cpu;
}

uint32_t cpu_get(void)
{
    return number;
}

void cpu_begin(void)
{
    number = 0;
}

void cpu_use_virtual(void)
{
}

size_t cpu_cached(void)
{
    return 0;
}
