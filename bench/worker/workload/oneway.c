/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * oneway: memory that only ever flows from one thread to another. Threads form pairs; the even one allocates 64 bytes,
 * writes the first 8 and puts the block into the pair's ring, the odd one takes it out, reads the 8 bytes and frees it.
 * The ring holds 1024 blocks, has one writer on either side and no lock; who finds it full or empty yields,
 * since there may be more threads than cores. At one thread, that thread fills the ring by a step's worth and empties
 * it.
 *
 * A thread's operations are the blocks that passed through its hands, so the figure is wall time per block and pair of
 * threads. It includes the ring, which is the same for all allocators.
 */
#include "ring.h"

#define ONEWAY_STEP 256u

static struct bench_ring rings[BENCH_MAX_THREADS];

static bool stopping(void)
{
    return atomic_load_explicit(&bench_stopping, memory_order_relaxed);
}

static uint64_t produce(struct bench_ring *ring, uint64_t ops)
{
    for (uint64_t i = 0; i < ops; i++) {
        void *block = bench_take(64);
        bench_touch(block);
        while (!bench_ring_push(ring, block)) {
            if (stopping()) {
                bench_free(block);
                return i;
            }
            bench_yield();
        }
    }
    return ops;
}

static void consume_block(void *block)
{
    (void)*(volatile uint64_t *)block;
    bench_free(block);
}

static uint64_t consume(struct bench_ring *ring, uint64_t ops)
{
    for (uint64_t i = 0; i < ops; i++) {
        void *block;
        while ((block = bench_ring_pop(ring)) == NULL) {
            if (stopping())
                return i;
            bench_yield();
        }
        consume_block(block);
    }
    return ops;
}

static struct bench_ring *ring_of(const struct bench_thread *thread)
{
    return &rings[thread->index / 2];
}

static uint64_t step(struct bench_thread *thread, uint64_t ops)
{
    struct bench_ring *ring = ring_of(thread);
    if (thread->threads == 1)
        return consume(ring, produce(ring, ops));
    return thread->index % 2 == 0 ? produce(ring, ops) : consume(ring, ops);
}

/* What is still in the ring when the time is over; all threads have ended their steps by now. */
static void leave(struct bench_thread *thread)
{
    void *block;
    if (thread->index % 2 == 0)
        while ((block = bench_ring_pop(ring_of(thread))) != NULL)
            consume_block(block);
}

const struct bench_workload bench_oneway = {.step_ops = ONEWAY_STEP, .step = step, .leave = leave};
