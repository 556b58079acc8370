/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Fragmentation: blocks of random sizes and lifetimes while the bytes in use stay the same. After Wilson, Johnstone,
 * Neely and Boles, "Dynamic Storage Allocation: A Survey and Critical Review" (IWMM 1995), who call a size's logarithm
 * and a random choice of what dies the usual synthetic load and warn that real programs are kinder; so half of the
 * blocks here die young, as most do there. One thread, 64 MiB in use, 1e8 calls of malloc and free together. With the
 * word samples it prints from time to time: calls, bytes in use, bytes of memory that the process has more than at its
 * start.
 */
#include "classic.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_BLOCKS = 1 << 17, YOUNG = 64, SAMPLES = 50, LOWEST_BITS = 4, SIZE_BITS = 11, TOUCHED_EACH = 2048 };
#define LIVE_BYTES ((size_t)64 << 20)
#define CALLS UINT64_C(100000000)

static struct {
    void *block;
    size_t bytes;
} slots[MOST_BLOCKS];

static size_t count, live;
static uint64_t random_state;
static struct classic_tally tally;

static size_t resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long pages = 0;

    if (!file || fscanf(file, "%*u %lu", &pages) != 1)
        classic_fail("cannot read /proc/self/statm");
    fclose(file);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* Each power of two is as likely as the next: 16 bytes to 32 KiB. */
static size_t any_size(void)
{
    size_t low = (size_t)1 << classic_between(&random_state, LOWEST_BITS, LOWEST_BITS + SIZE_BITS - 1);

    return classic_between(&random_state, low, 2 * low - 1);
}

/* classic_new() writes to both ends. */
static void touch(char *block, size_t bytes)
{
    for (size_t at = TOUCHED_EACH; at + TOUCHED_EACH < bytes; at += TOUCHED_EACH)
        block[at] = 1;
}

static void add(void)
{
    size_t bytes = any_size();

    if (count == MOST_BLOCKS)
        classic_fail("more blocks than expected");
    slots[count].block = classic_new(bytes, &tally);
    touch(slots[count].block, bytes);
    slots[count++].bytes = bytes;
    live += bytes;
}

static void drop(size_t i)
{
    classic_drop(slots[i].block);
    live -= slots[i].bytes;
    slots[i] = slots[--count];
}

/* Half of the time one of the last slots, whose blocks mostly came last, else any. */
static size_t any_victim(void)
{
    size_t young = count < YOUNG ? count : YOUNG;

    return classic_between(&random_state, classic_random(&random_state) & 1 ? count - young : 0, count - 1);
}

int main(int argument_count, char **arguments)
{
    classic_begin(argument_count, arguments, "samples");
    memset(slots, 1, sizeof slots); /* in memory from the start */
    uint64_t calls = 0, all = classic_work(CALLS), step = all / SAMPLES + 1, next = 0;
    size_t before = resident_bytes();
    random_state = classic_seed(0);
    for (; calls < all; calls++) {
        if (live < LIVE_BYTES)
            add();
        else
            drop(any_victim());
        if (classic_mode && calls >= next) {
            printf("%" PRIu64 " %zu %zu\n", calls, live, resident_bytes() - before);
            next = calls + step;
        }
    }
    if (classic_mode)
        printf("%" PRIu64 " %zu %zu\n", calls, live, resident_bytes() - before);
    while (count)
        drop(count - 1);
    classic_end("lifetimes", &tally, 1);
    return EXIT_SUCCESS;
}
