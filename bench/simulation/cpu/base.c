/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

#include "simulation.h"

const char *const bench_cpu_mode = "cas";

/* It does not ask. */
void bench_cpu_start(void)
{
}

void bench_cpu_set(unsigned cpu)
{
    (void)cpu;
}
