/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* By address of a word, by number of a cache line, and by address of a block: who wrote to it, or had it, last. */
#include "simulation.h"

#include "harness.h"

#define LINE_BYTES 64
#define TABLE_SHIFT 21
#define TABLE_ENTRIES (1u << TABLE_SHIFT)

/*
 * Operations in a row within which the hottest line is looked for: half of those that take the blocks of one word,
 * after which another word is the hot one. One move per line in them is what lines that are not hot have by chance.
 */
#define WINDOW_OPS 32u

struct entry {
    uintptr_t key; /* 0: unused */
    unsigned writer;
    unsigned moves;  /* in a window */
    uint64_t window; /* its number */
};

struct table {
    struct entry entries[TABLE_ENTRIES]; /* open addressing, the next one if this one is taken */
    unsigned used;
};

static struct table words, lines, blocks;
static struct bench_writes writes;
static bool started;
static uint64_t ops;
static unsigned most_moves; /* to one line, in this window */
static uint64_t repeated;   /* by windows: most_moves, less one */

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

static void count_in_window(struct entry *line)
{
    uint64_t window = ops / WINDOW_OPS;

    line->moves = line->window == window ? line->moves + 1 : 1;
    line->window = window;
    if (line->moves > most_moves)
        most_moves = line->moves;
}

static bool write_to_line_of(const volatile void *word, unsigned cpu)
{
    uintptr_t key = (uintptr_t)word / LINE_BYTES;
    bool moved = write_to(&lines, key, cpu);

    if (moved)
        count_in_window(find(&lines, key));
    return moved;
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

void bench_writers_block(const void *block, unsigned cpu)
{
    bool moved = write_to(&blocks, (uintptr_t)block, cpu);

    if (started)
        writes.blocks += moved;
}

void bench_writers_op(void)
{
    if (++ops % WINDOW_OPS != 0)
        return;
    if (started && most_moves > 0)
        repeated += most_moves - 1;
    most_moves = 0;
}

void bench_writers_start(void)
{
    started = true;
    ops = 0;
    most_moves = 0;
}

struct bench_writes bench_writers_so_far(void)
{
    uint64_t windows = ops / WINDOW_OPS;

    writes.hottest = windows ? (double)repeated / (double)windows / WINDOW_OPS : 0;
    return writes;
}
