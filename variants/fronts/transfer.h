/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Transfer places: a few per class, each with room for a batch of block pointers and one word that says whose it is.
 * Memory freed by one owner of a front and wanted by another goes through them with one compare-and-swap on either
 * side, without touching the blocks. They are also the room in which batches are put together: nothing of that size may
 * be on a stack.
 *
 *     FREE -> BUSY   whoever wants room           BUSY -> FREE   its holder, when it has emptied it
 *     FULL -> BUSY   whoever wants the blocks     BUSY -> FULL   its holder, with a count of at least 1
 *
 * The pointers are read and written by the holder of a BUSY place alone, but for readers that look for a double free
 * (aoma_transfer_has). The word: bits 0-1 state, 2-9 count, 10-63 version, which counts every change. All changes to
 * BUSY are CASes, all from BUSY plain stores of the holder.
 *
 * A thread that dies with a place takes it and its blocks with it; the class goes on with the others, and without any
 * when all are lost.
 */
#ifndef AOMA_FRONTS_TRANSFER_H
#define AOMA_FRONTS_TRANSFER_H

#include <stdbool.h>
#include <stddef.h>

#include "atomics.h"
#include "front.h"

/* Words of a class fill a cache line. */
#define AOMA_TRANSFER_PLACES 8u

/* A BUSY place in the hands of a thread. */
struct aoma_transfer {
    struct aoma_word *word;
    void **blocks; /* AOMA_FRONT_BATCH_MAX */
    unsigned count;
};

/* A FULL place; false: there is none. */
bool aoma_transfer_take_full(unsigned class, struct aoma_transfer *place);
/* A FREE one: count is 0. */
bool aoma_transfer_take_free(unsigned class, struct aoma_transfer *place);
/* A FREE place, else a FULL one. */
bool aoma_transfer_take_room(unsigned class, struct aoma_transfer *place);

/* Ends the holding: FULL with place->count blocks, FREE without any. */
void aoma_transfer_put(const struct aoma_transfer *place);

bool aoma_transfer_has(unsigned class, const void *block);
size_t aoma_transfer_count(unsigned class);

#endif /* AOMA_FRONTS_TRANSFER_H */
