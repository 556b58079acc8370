/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* The binding of aomalloc, with a point before each call at which another virtual CPU may go on. */
#ifndef BENCH_SIMULATION_BINDING_H
#define BENCH_SIMULATION_BINDING_H

#include "../binding/aomalloc/bench_binding.h"
#include "simulation.h"

static inline void *bench_simulated_malloc(size_t size)
{
    bench_simulation_call(NULL);
    void *block = bench_malloc(size);
    bench_simulation_taken(block);
    return block;
}

static inline void bench_simulated_free(void *block)
{
    if (block != NULL)
        bench_simulation_call(block);
    bench_free(block);
}

#define bench_malloc bench_simulated_malloc
#define bench_free bench_simulated_free

#endif /* BENCH_SIMULATION_BINDING_H */
