/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * A table of slots through which threads and handlers pass blocks on: a block is allocated here and freed there. Every
 * block carries a canary that is checked when it leaves its slot. AS-safe; lock-free as far as AO_ is.
 */
#ifndef AOMALLOC_TEST_EXCHANGE_H
#define AOMALLOC_TEST_EXCHANGE_H

#include "rng.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct exchange {
    size_t slot_count;
    size_t min_bytes;   /* at least CANARY_MIN_BYTES */
    unsigned doublings; /* up to min_bytes << doublings */
    _Atomic(void *) *slots;
};

/* Allocates a block, by any of the calls, puts it into a random slot and frees what was there. Whether it got one. */
bool exchange_one(const struct exchange *exchange, struct rng *rng);

/* Takes a block out of a random slot, resizes it and puts it back into another. */
void exchange_resize(const struct exchange *exchange, struct rng *rng);

/* Frees what is in the slots. */
void exchange_clear(const struct exchange *exchange);

#endif /* AOMALLOC_TEST_EXCHANGE_H */
