/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* By address of a word, and by number of a cache line: who wrote to it last. */
#include "simulation.h"

#include "harness.h"

#define LINE_BYTES 64
#define TABLE_SHIFT 18
#define TABLE_ENTRIES (1u << TABLE_SHIFT)

struct entry {
    uintptr_t key; /* 0: unused */
    unsigned writer;
};

struct table {
    struct entry entries[TABLE_ENTRIES]; /* open addressing, the next one if this one is taken */
    unsigned used;
};

static struct table words, lines;
static struct bench_writes writes;
static bool started;

static struct entry *find(struct table *table, uintptr_t key)
{
    uint64_t at = (key * UINT64_C(0x9e3779b97f4a7c15)) >> (64 - TABLE_SHIFT);

    while (table->entries[at].key != 0 && table->entries[at].key != key)
        at = (at + 1) % TABLE_ENTRIES;
    return &table->entries[at];
}

/* Whether another CPU was the last; what nobody wrote to before is nobody's. */
static bool write_to(struct table *table, uintptr_t key, unsigned cpu)
{
    struct entry *entry = find(table, key);
    bool other = entry->key != 0 && entry->writer != cpu;

    if (entry->key == 0 && ++table->used > TABLE_ENTRIES / 4 * 3)
        bench_fail(BENCH_EXIT_FAILED, "more words than there is room for");
    entry->key = key;
    entry->writer = cpu;
    return other;
}

static bool write_to_line_of(const volatile void *word, unsigned cpu)
{
    return write_to(&lines, (uintptr_t)word / LINE_BYTES, cpu);
}

void bench_writers_rmw(const volatile void *word, unsigned cpu)
{
    bool contended = write_to(&words, (uintptr_t)word, cpu);
    bool moved = write_to_line_of(word, cpu);

    if (!started)
        return;
    writes.rmw++;
    writes.contended += contended;
    writes.moved += moved;
}

void bench_writers_store(const volatile void *word, unsigned cpu)
{
    (void)write_to(&words, (uintptr_t)word, cpu);
    bool moved = write_to_line_of(word, cpu);

    if (started)
        writes.moved += moved;
}

void bench_writers_start(void)
{
    started = true;
}

struct bench_writes bench_writers_so_far(void)
{
    return writes;
}
