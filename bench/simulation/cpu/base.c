/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

#include "simulation.h"

#include <stddef.h>

/* It does not ask. */
const char *bench_cpu_start(void)
{
    return NULL;
}

void bench_cpu_set(unsigned cpu)
{
    (void)cpu;
}
