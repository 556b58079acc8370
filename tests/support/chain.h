/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* Holds any number of AO_ blocks without memory of its own: the blocks are linked through their first words. */
#ifndef AOMALLOC_TEST_CHAIN_H
#define AOMALLOC_TEST_CHAIN_H

#include <stdbool.h>
#include <stddef.h>

struct chain {
    void *first;
    size_t count;
    size_t bytes; /* asked for */
};

/* One block more; false, with errno as AO_malloc() left it, when there was none. */
bool chain_add(struct chain *chain, size_t size);

/* As many as there are; fails the test when there is no end to them. */
void chain_exhaust(struct chain *chain, size_t size);

/* Frees all of them, the last one first. */
void chain_free(struct chain *chain);

#endif /* AOMALLOC_TEST_CHAIN_H */
