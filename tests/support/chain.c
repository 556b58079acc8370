/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

#include "chain.h"
#include "test.h"

#include <aomalloc.h>

/* A library that never runs out must fail the test, not the machine. */
#define EXHAUST_MAX_BYTES (512 * MIB)

bool chain_add(struct chain *chain, size_t size)
{
    void **block = AO_malloc(size < sizeof(void *) ? sizeof(void *) : size);
    if (!block)
        return false;
    *block = chain->first;
    chain->first = block;
    chain->count++;
    chain->bytes += size;
    return true;
}

void chain_exhaust(struct chain *chain, size_t size)
{
    while (chain_add(chain, size))
        CHECK(chain->bytes < EXHAUST_MAX_BYTES);
}

void chain_free(struct chain *chain)
{
    while (chain->first) {
        void *block = chain->first;
        chain->first = *(void **)block;
        AO_free(block);
    }
    *chain = (struct chain){0};
}
