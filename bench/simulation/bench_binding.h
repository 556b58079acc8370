/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* The binding of aomalloc, with a point before each call at which another virtual CPU may go on. */
#ifndef BENCH_SIMULATION_BINDING_H
#define BENCH_SIMULATION_BINDING_H

#include "../binding/aomalloc/bench_binding.h"
#include "simulation.h"

static inline void *bench_simulated_malloc(size_t size)
{
    bench_simulation_call(true);
    return bench_malloc(size);
}

static inline void bench_simulated_free(void *block)
{
    bench_simulation_call(false);
    bench_free(block);
}

#define bench_malloc bench_simulated_malloc
#define bench_free bench_simulated_free

#endif /* BENCH_SIMULATION_BINDING_H */
