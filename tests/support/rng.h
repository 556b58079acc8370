/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Random numbers that a seed repeats, usable in any thread or
 * handler that owns the state. splitmix64 by Sebastiano Vigna.
 */
#ifndef AOMALLOC_TEST_RNG_H
#define AOMALLOC_TEST_RNG_H

#include <stddef.h>
#include <stdint.h>

struct rng {
    uint64_t state;
};

static inline uint64_t rng_mix(uint64_t value)
{
    value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
    return value ^ (value >> 31);
}

static inline uint64_t rng_next(struct rng *rng)
{
    return rng_mix(rng->state += UINT64_C(0x9e3779b97f4a7c15));
}

/* A number of its own for each thread or handler. */
static inline struct rng rng_stream(uint64_t seed, uint64_t number)
{
    return (struct rng){rng_mix(seed + number * UINT64_C(0xd1342543de82ef95))};
}

/* 0 .. limit - 1 */
static inline size_t rng_below(struct rng *rng, size_t limit)
{
    return (size_t)(rng_next(rng) % limit);
}

/* Log-uniform in min .. min << doublings, to 0.3 %: 2^f is approximated by a parabola, so that libm is not needed. */
static inline size_t rng_size(struct rng *rng, size_t min, unsigned doublings)
{
    size_t low = min << rng_below(rng, doublings);
    double f = (double)(rng_next(rng) >> 11) / (double)(UINT64_C(1) << 53);
    return low + (size_t)((double)low * f * (0.6565 + 0.3435 * f));
}

#endif /* AOMALLOC_TEST_RNG_H */
