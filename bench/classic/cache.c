/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * False sharing, after cache-thrash and cache-scratch in the distribution of Hoard, described as active-false and
 * passive-false in Berger, McKinley, Blumofe and Wilson, "Hoard: A Scalable Memory Allocator for Multithreaded
 * Applications" (ASPLOS 2000). A thread allocates a small block, writes it many times and frees it, again and again:
 * an allocator that puts blocks of two threads into one cache line makes them wait for each other. With "scratch" each
 * thread first frees a block that the main thread allocated beside those for the others: an allocator that gives such
 * a block to who freed it lets the line stay shared.
 *
 * bench's workload falseshare has many live blocks and swaps them all the time; here all is as it was published.
 */
#include "classic.h"

#include <stdlib.h>

enum { BLOCK_BYTES = CLASSIC_MIN_BYTES, WRITES = 500 };

static struct classic_tally tallies[CLASSIC_MAX_THREADS];
static void *given[CLASSIC_MAX_THREADS];

static void write_often(void *block)
{
    volatile unsigned char *byte = (unsigned char *)block + sizeof(size_t) - 1; /* the top one of the stamp, 0 */
    for (unsigned i = 0; i < WRITES; i++)
        *byte = (unsigned char)(*byte + 1);
    *byte = 0;
}

static void work(unsigned index)
{
    classic_drop(given[index]);
    for (uint64_t i = classic_work(600000) / classic_threads; i > 0; i--) {
        void *block = classic_new(BLOCK_BYTES, &tallies[index]);
        write_often(block);
        classic_drop(block);
    }
}

int main(int count, char **arguments)
{
    classic_begin(count, arguments, "scratch");
    for (unsigned i = 0; classic_mode != NULL && i < classic_threads; i++)
        given[i] = classic_new(BLOCK_BYTES, &tallies[i]);
    classic_run(classic_threads, work);
    classic_end(classic_mode ? "cache-scratch" : "cache-thrash", tallies, classic_threads);
    return EXIT_SUCCESS;
}
