/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* A bounded queue of blocks with one writer on either side and no lock. */
#ifndef BENCH_WORKER_RING_H
#define BENCH_WORKER_RING_H

#include "harness.h"

#define BENCH_RING_BLOCKS 1024u

/*
 * head and tail count up for ever. Each side keeps a copy of the
 * other's counter, and looks again only when it seems stuck.
 */
struct bench_ring {
    _Alignas(BENCH_APART_BYTES) atomic_uint tail; /* written by the side that puts blocks in */
    unsigned head_seen;
    _Alignas(BENCH_APART_BYTES) atomic_uint head; /* written by the side that takes them out */
    unsigned tail_seen;
    _Alignas(BENCH_APART_BYTES) void *blocks[BENCH_RING_BLOCKS];
};

static inline bool bench_ring_push(struct bench_ring *ring, void *block)
{
    unsigned tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    if (tail - ring->head_seen == BENCH_RING_BLOCKS) {
        /* acquire: pairs with pop's release, the place must have been read before it is written again. */
        ring->head_seen = atomic_load_explicit(&ring->head, memory_order_acquire);
        if (tail - ring->head_seen == BENCH_RING_BLOCKS)
            return false;
    }
    ring->blocks[tail % BENCH_RING_BLOCKS] = block;
    atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
    return true;
}

static inline void *bench_ring_pop(struct bench_ring *ring)
{
    unsigned head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    if (ring->tail_seen == head) {
        /* acquire: pairs with push's release, which publishes the place and the block's content. */
        ring->tail_seen = atomic_load_explicit(&ring->tail, memory_order_acquire);
        if (ring->tail_seen == head)
            return NULL;
    }
    void *block = ring->blocks[head % BENCH_RING_BLOCKS];
    atomic_store_explicit(&ring->head, head + 1, memory_order_release);
    return block;
}

#endif /* BENCH_WORKER_RING_H */
