/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * large: blocks beyond the size classes of most allocators. 48 slots, n threads own 48 / n of them each; an operation
 * picks a random slot of the thread's own, frees its block and puts a new one of 40 KiB to 4 MiB there: first a
 * doubling is picked, then a size within it, so small ones are as common as big ones (about 45 MiB are live). The first
 * byte of each of the first 16 pages (64 KiB) is written, as a program does that fills a buffer from its start.
 *
 * libatomic_ops' AO_malloc cannot serve 32761..65528 bytes and gets 65529 instead (bench_fit).
 */
#include "harness.h"

#define LARGE_SLOTS 48
#define PAGE_BYTES 4096
#define TOUCHED_BYTES ((size_t)65536)

static void *slots[LARGE_SLOTS];

/* 40 KiB << 0..6, the last step only to 4 MiB. */
static size_t random_size(struct bench_thread *thread)
{
    const uint32_t most = 4096u * 1024;
    uint32_t least = (40u * 1024) << bench_random_below(thread, 7);
    return bench_fit(bench_random_between(thread, least, least > most / 2 ? most : 2 * least - 1));
}

static void *random_block(struct bench_thread *thread)
{
    size_t size = random_size(thread);
    volatile char *block = bench_take(size);
    for (size_t at = 0; at < size && at < TOUCHED_BYTES; at += PAGE_BYTES)
        block[at] = 1;
    return (void *)block;
}

static void enter(struct bench_thread *thread)
{
    for (size_t i = bench_share_begin(thread, LARGE_SLOTS); i < bench_share_end(thread, LARGE_SLOTS); i++)
        slots[i] = random_block(thread);
}

static uint64_t step(struct bench_thread *thread, uint64_t ops)
{
    void **own = slots + bench_share_begin(thread, LARGE_SLOTS);
    uint32_t count = (uint32_t)(slots + bench_share_end(thread, LARGE_SLOTS) - own);
    for (uint64_t i = 0; i < ops; i++) {
        void **slot = &own[bench_random_below(thread, count)];
        bench_free(*slot);
        *slot = random_block(thread);
    }
    return ops;
}

static void leave(struct bench_thread *thread)
{
    for (size_t i = bench_share_begin(thread, LARGE_SLOTS); i < bench_share_end(thread, LARGE_SLOTS); i++)
        bench_free(slots[i]);
}

const struct bench_workload bench_large = {.step_ops = 4, .enter = enter, .step = step, .leave = leave};
