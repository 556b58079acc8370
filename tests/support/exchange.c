/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

#include "exchange.h"
#include "canary.h"
#include "test.h"

#include <aomalloc.h>

static void release(void *block)
{
    if (!block)
        return;
    CHECK(canary_take(block));
    AO_free(block);
}

static void put(const struct exchange *exchange, struct rng *rng, void *block)
{
    release(atomic_exchange(&exchange->slots[rng_below(rng, exchange->slot_count)], block));
}

static size_t random_bytes(const struct exchange *exchange, struct rng *rng)
{
    return rng_size(rng, exchange->min_bytes, exchange->doublings);
}

/* Of large blocks the ends: touching all of a mapping would take longer than everything else. */
static bool is_zero(const unsigned char *bytes, size_t size)
{
    enum { END_BYTES = 8192 };

    for (size_t i = 0; i < size; i++) {
        if (bytes[i])
            return false;
        if (i == END_BYTES && size / 2 > END_BYTES)
            i = size - END_BYTES;
    }
    return true;
}

/* NULL when memory is short, which is no failure here. */
static void *allocate(size_t size, struct rng *rng)
{
    void *block;

    switch (rng_below(rng, 8)) {
    case 0:
        block = AO_calloc(size, 1);
        CHECK(!block || is_zero(block, size));
        return block;
    case 1: {
        size_t alignment = (size_t)16 << rng_below(rng, 10);
        block = opaque_pointer(AO_aligned_alloc(alignment, size));
        CHECK((uintptr_t)block % alignment == 0);
        return block;
    }
    case 2:
        return AO_realloc(NULL, size);
    default:
        return AO_malloc(size);
    }
}

bool exchange_one(const struct exchange *exchange, struct rng *rng)
{
    size_t size = random_bytes(exchange, rng);
    void *block = allocate(size, rng);

    if (block) {
        CHECK(AO_malloc_usable_size(block) >= size);
        canary_write(block, size, rng_next(rng));
    }
    put(exchange, rng, block);
    return block;
}

void exchange_resize(const struct exchange *exchange, struct rng *rng)
{
    void *block = atomic_exchange(&exchange->slots[rng_below(rng, exchange->slot_count)], NULL);
    size_t size = random_bytes(exchange, rng);

    if (!block)
        return;
    CHECK(canary_is_whole(block));
    void *resized = AO_realloc(block, size);
    if (resized)
        canary_write(resized, size, rng_next(rng));
    put(exchange, rng, resized ? resized : block);
}

void exchange_clear(const struct exchange *exchange)
{
    for (size_t i = 0; i < exchange->slot_count; i++)
        release(atomic_exchange(&exchange->slots[i], NULL));
}
