/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * falseshare: whether blocks of several threads lie in one cache line. After the benchmarks active-false and
 * passive-false of Berger, McKinley, Blumofe and Wilson, "Hoard: A Scalable Memory Allocator for Multithreaded
 * Applications" (ASPLOS 2000), which Hoard's distribution calls cache-thrash and cache-scratch.
 *
 * A thread has 8 live blocks of 16 bytes, so four blocks of anybody share a line. An operation allocates a block in
 * place of the oldest one, adds to a number in each of the 8 blocks 16 times, in turn, and frees the oldest. An
 * allocator that gives blocks of one line to two threads is active in sharing it. Before the start each thread
 * allocates the 8 blocks of the next one, and in one operation of 8 the block to be freed is swapped for what another
 * thread, by chance, put into one of 64 slots: an allocator that hands such a block out to the thread that freed it,
 * while the neighbours in the line are still the first thread's, is passive in sharing it.
 *
 * The figure contains the 128 additions, which take the same time at any number of threads if no line is shared: what
 * counts is how it grows from one thread to as many as there are CPUs.
 */
#include "harness.h"

#define FALSESHARE_BLOCKS 8u
#define FALSESHARE_BYTES 16
#define FALSESHARE_WRITES 16 /* of each block */
#define FALSESHARE_SLOTS 64
#define FALSESHARE_SWAP_EVERY 8u

struct live {
    _Alignas(BENCH_APART_BYTES) void *blocks[FALSESHARE_BLOCKS];
    unsigned oldest;
    unsigned turn; /* up to the next swap */
};

static struct live lives[BENCH_MAX_THREADS];

/* Far apart: they are not what is measured. */
static struct {
    _Alignas(BENCH_APART_BYTES) _Atomic(void *) block;
} slots[FALSESHARE_SLOTS];

static void *new_block(void)
{
    void *block = bench_take(FALSESHARE_BYTES);
    bench_touch(block);
    return block;
}

/* The blocks of the next thread; the start orders this before its first look. */
static void enter(struct bench_thread *thread)
{
    struct live *live = &lives[(thread->index + 1) % thread->threads];
    for (unsigned i = 0; i < FALSESHARE_BLOCKS; i++)
        live->blocks[i] = new_block();
}

static void write_all(const struct live *live)
{
    for (unsigned n = 0; n < FALSESHARE_WRITES; n++)
        for (unsigned i = 0; i < FALSESHARE_BLOCKS; i++)
            ++*(volatile uint64_t *)live->blocks[i];
}

/* acq_rel: what is freed here was written by another thread before. */
static void *swapped(struct bench_thread *thread, void *block)
{
    uint32_t slot = bench_random_below(thread, FALSESHARE_SLOTS);
    return atomic_exchange_explicit(&slots[slot].block, block, memory_order_acq_rel);
}

static uint64_t step(struct bench_thread *thread, uint64_t ops)
{
    struct live *live = &lives[thread->index];
    for (uint64_t i = 0; i < ops; i++) {
        void *old = live->blocks[live->oldest];
        live->blocks[live->oldest] = new_block();
        live->oldest = (live->oldest + 1) % FALSESHARE_BLOCKS;
        write_all(live);
        if (++live->turn % FALSESHARE_SWAP_EVERY == 0)
            old = swapped(thread, old);
        bench_free(old);
    }
    return ops;
}

static void leave(struct bench_thread *thread)
{
    for (unsigned i = 0; i < FALSESHARE_BLOCKS; i++)
        bench_free(lives[thread->index].blocks[i]);
    for (size_t i = bench_share_begin(thread, FALSESHARE_SLOTS); i < bench_share_end(thread, FALSESHARE_SLOTS); i++)
        bench_free(atomic_exchange(&slots[i].block, NULL));
}

const struct bench_workload bench_falseshare = {.step_ops = 64, .enter = enter, .step = step, .leave = leave};
