/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * How many instructions calls take, in a churn of many of them. The library is built so that each basic block calls
 * __sanitizer_cov_trace_pc(), here, which adds what weights.py has counted in that block; without the instructions of
 * these calls. What the kernel does is not counted; calls that made a system call are counted apart. At SIGTERM the
 * churn ends early, and what was counted is told.
 *
 * Of the longest call of each kind it is also told in which functions its instructions were: what a call runs
 * through is written down as it goes, and kept if it was the longest.
 *
 * Threads pass blocks on through slots, so that half of them are freed by another thread than allocated them. The range
 * of sizes changes all the time, so that memory has to go from size to size and back to the system.
 */

#define _GNU_SOURCE
#include "rng.h"

#include <aomalloc.h>

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

enum { THREADS = 4, SLOTS = 4096, SLOTS_STATIC = 512, STATIC_ONE_IN = 1000 };
enum { RANGE_CALLS = 100000, TRIM_ONE_IN = 200000, LARGE_ONE_IN = 5000, LARGE_MIN = 64 * 1024 };

/* ---- counting ---- */

extern const char __executable_start[], etext[];

enum { FUNCTIONS = 512, NAME = 64, PATH_BLOCKS = 1 << 22 };

struct block {
    uint16_t weight, function;
    bool is_entry;
};

static size_t text_bytes;
static struct block *blocks; /* by address of what follows the call */
static char functions[FUNCTIONS][NAME];
static unsigned function_count;

static _Thread_local unsigned long work;
static _Thread_local bool system_called;
static _Thread_local uint32_t *path; /* the blocks of the call, as far as there is room */
static _Thread_local size_t path_length, path_room;

void __sanitizer_cov_trace_pc(void);
void __sanitizer_cov_trace_pc(void)
{
    size_t at = (size_t)((const char *)__builtin_return_address(0) - __executable_start);

    if (at >= text_bytes) /* a jump in place of a call, at the end of what the C library has called */
        return;
    work += blocks[at].weight;
    if (path_length < path_room)
        path[path_length++] = (uint32_t)at;
}

static unsigned function_number(const char *name)
{
    unsigned i = 0;

    while (i < function_count && strcmp(functions[i], name) != 0)
        i++;
    if (i == FUNCTIONS)
        exit(2);
    if (i == function_count)
        strcpy(functions[function_count++], name);
    return i;
}

static void load_blocks(const char *file_name)
{
    FILE *file = fopen(file_name, "r");
    char name[NAME];
    unsigned long address, count = 0;
    unsigned weight, is_entry;

    text_bytes = (size_t)(etext - __executable_start);
    blocks = calloc(text_bytes, sizeof *blocks);
    if (!file || !blocks) {
        perror(file_name);
        exit(2);
    }
    for (; fscanf(file, "%lx %u %u %63s", &address, &weight, &is_entry, name) == 4; count++)
        blocks[address - (unsigned long)__executable_start] =
            (struct block){(uint16_t)weight, (uint16_t)function_number(name), is_entry};
    if (count == 0 || !feof(file)) {
        fprintf(stderr, "%s: no weights, or none behind the first %lu\n", file_name, count);
        exit(2);
    }
    fclose(file);
}

/* The linker leads here what the library calls. */
#define WRAPPED(name, parameters, ...)                                                                                 \
    void *__real_##name parameters;                                                                                    \
    void *__wrap_##name parameters;                                                                                    \
    void *__wrap_##name parameters                                                                                     \
    {                                                                                                                  \
        system_called = true;                                                                                          \
        return __real_##name(__VA_ARGS__);                                                                             \
    }
WRAPPED(mmap, (void *at, size_t length, int protection, int flags, int fd, off_t offset), at, length, protection, flags,
        fd, offset)
WRAPPED(munmap, (void *at, size_t length), at, length)
WRAPPED(madvise, (void *at, size_t length, int advice), at, length, advice)
WRAPPED(mremap, (void *at, size_t length, size_t new_length, int flags, void *to), at, length, new_length, flags, to)
WRAPPED(syscall, (long number, long first, long second, long third), number, first, second, third)

/* ---- histograms ---- */

enum { EXACT_SHIFT = 10, EXACT = 1 << EXACT_SHIFT, PER_DOUBLING_SHIFT = 6, PER_DOUBLING = 1 << PER_DOUBLING_SHIFT };
enum { DOUBLINGS = 20, BUCKETS = EXACT + DOUBLINGS * PER_DOUBLING };

enum kind { MALLOC, FREE, CALLOC, REALLOC, ALIGNED_ALLOC, NO_MEMORY, TRIM, KINDS };
static const char *const kind_names[KINDS] = {
    "AO_malloc", "AO_free", "AO_calloc", "AO_realloc", "AO_aligned_alloc", "NULL_is_returned", "AO_malloc_trim",
};

/* Of the longest call. */
struct share {
    unsigned long entered, instructions;
};

struct histogram {
    unsigned long calls, most, counts[BUCKETS];
    struct share shares[FUNCTIONS];
    bool with_mmap;
};

static _Thread_local struct histogram *own; /* KINDS, then with system calls */

static size_t bucket_of(unsigned long value)
{
    if (value < EXACT)
        return value;
    unsigned doubling = 63u - (unsigned)__builtin_clzl(value);
    size_t bucket = EXACT + (size_t)(doubling - EXACT_SHIFT) * PER_DOUBLING +
                    ((value >> (doubling - PER_DOUBLING_SHIFT)) - PER_DOUBLING);
    return bucket < BUCKETS ? bucket : BUCKETS - 1;
}

static unsigned long bucket_start(size_t bucket)
{
    if (bucket < EXACT)
        return bucket;
    bucket -= EXACT;
    return (PER_DOUBLING + bucket % PER_DOUBLING) << (bucket / PER_DOUBLING + EXACT_SHIFT - PER_DOUBLING_SHIFT);
}

static void begin(void)
{
    work = 0;
    path_length = 0;
    system_called = false;
}

static bool mmap_enabled;

static void note_longest(struct histogram *histogram)
{
    histogram->most = work;
    histogram->with_mmap = mmap_enabled;
    memset(histogram->shares, 0, sizeof histogram->shares);
    for (size_t i = 0; i < path_length; i++) {
        const struct block *block = &blocks[path[i]];
        histogram->shares[block->function].entered += block->is_entry;
        histogram->shares[block->function].instructions += block->weight;
    }
}

static void note(enum kind kind)
{
    struct histogram *histogram = &own[kind + (system_called ? KINDS : 0)];

    histogram->calls++;
    histogram->counts[bucket_of(work)]++;
    if (work > histogram->most)
        note_longest(histogram);
}

/* ---- the churn ---- */

static _Atomic(void *) slots[SLOTS];
static size_t slot_count;
static unsigned long calls_of_thread;
static volatile sig_atomic_t is_over;

static void put(struct rng *rng, void *block)
{
    void *old = atomic_exchange(&slots[rng_below(rng, slot_count)], block);

    begin();
    AO_free(old);
    note(FREE);
}

static void *note_allocated(enum kind kind, void *block)
{
    note(block ? kind : NO_MEMORY);
    if (block)
        *(volatile char *)block = 1;
    return block;
}

static void *allocate(struct rng *rng, size_t size)
{
    begin();
    switch (rng_below(rng, 64)) {
    case 0:
        return note_allocated(CALLOC, AO_calloc(1, size));
    case 1:
        return note_allocated(ALIGNED_ALLOC, AO_aligned_alloc((size_t)16 << (size % 9), size));
    default:
        return note_allocated(MALLOC, AO_malloc(size));
    }
}

static void resize(struct rng *rng, size_t size)
{
    void *block = atomic_exchange(&slots[rng_below(rng, slot_count)], NULL);

    begin();
    void *resized = AO_realloc(block, size);
    (void)note_allocated(REALLOC, resized);
    put(rng, resized ? resized : block);
}

static void trim(void)
{
    begin();
    AO_malloc_trim();
    note(TRIM);
}

static void *churn(void *number)
{
    struct rng rng = rng_stream(1, (unsigned long)number);
    unsigned smallest = 0, doublings = 1;

    own = calloc(2 * KINDS, sizeof *own);
    path = malloc(PATH_BLOCKS * sizeof *path);
    if (!own || !path)
        exit(2);
    path_room = PATH_BLOCKS;
    for (unsigned long calls = 0; calls < calls_of_thread && !is_over; calls += 2) {
        if (calls % RANGE_CALLS == 0) {
            smallest = (unsigned)rng_below(&rng, 10);
            doublings = 1 + (unsigned)rng_below(&rng, 12 - smallest);
        }
        size_t size = rng_below(&rng, LARGE_ONE_IN) == 0 ? rng_size(&rng, LARGE_MIN, 6)
                                                         : rng_size(&rng, (size_t)16 << smallest, doublings);
        if (rng_below(&rng, 64) == 0)
            resize(&rng, size);
        else
            put(&rng, allocate(&rng, size));
        if (rng_below(&rng, TRIM_ONE_IN) == 0)
            trim();
    }
    path_room = 0;
    free(path);
    return own;
}

static struct histogram total[2 * KINDS];

static void add(const struct histogram *from)
{
    for (size_t i = 0; i < (size_t)2 * KINDS; i++) {
        total[i].calls += from[i].calls;
        if (from[i].most > total[i].most) {
            total[i].most = from[i].most;
            total[i].with_mmap = from[i].with_mmap;
            memcpy(total[i].shares, from[i].shares, sizeof total[i].shares);
        }
        for (size_t bucket = 0; bucket < BUCKETS; bucket++)
            total[i].counts[bucket] += from[i].counts[bucket];
    }
}

static void run(unsigned long calls, size_t use_slots)
{
    pthread_t threads[THREADS];
    void *result;

    slot_count = use_slots;
    calls_of_thread = calls / THREADS;
    for (unsigned long i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, churn, (void *)i) != 0)
            exit(2);
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], &result);
        add(result);
        free(result);
    }
}

/* ---- what came out ---- */

static unsigned long quantile(const struct histogram *histogram, double share)
{
    double below = 0;

    for (size_t bucket = 0; bucket < BUCKETS; bucket++) {
        below += (double)histogram->counts[bucket];
        if (below >= share * (double)histogram->calls)
            return bucket_start(bucket);
    }
    return histogram->most;
}

/* The functions that most of the longest call was in: name, times it was entered, share of the instructions. */
static void print_main_shares(const struct histogram *histogram)
{
    struct share left[FUNCTIONS];

    memcpy(left, histogram->shares, sizeof left);
    for (unsigned n = 0; n < 3; n++) {
        unsigned best = 0;
        for (unsigned i = 1; i < function_count; i++)
            best = left[i].instructions > left[best].instructions ? i : best;
        if (!left[best].instructions)
            return;
        printf("%s%s:%lu:%lu%%", n ? "," : " in=", functions[best], left[best].entered,
               100 * left[best].instructions / histogram->most);
        left[best].instructions = 0;
    }
}

static void write_shares(const char *variant, const char *name, const char *system, const struct histogram *histogram,
                         FILE *longest)
{
    for (unsigned i = 0; i < function_count; i++)
        if (histogram->shares[i].instructions)
            fprintf(longest, "%s,%s,%s,%s,%s,%lu,%lu\n", variant, name, system, histogram->with_mmap ? "yes" : "no",
                    functions[i], histogram->shares[i].entered, histogram->shares[i].instructions);
}

static void report(const char *variant, FILE *csv, FILE *longest)
{
    for (size_t i = 0; i < (size_t)2 * KINDS; i++) {
        const struct histogram *histogram = &total[i];
        const char *name = kind_names[i % KINDS], *system = i < KINDS ? "no" : "yes";

        if (!histogram->calls)
            continue;
        printf("churn: variant=%s call=%s system_call=%s calls=%lu p50=%lu p99=%lu p99.99=%lu most=%lu", variant, name,
               system, histogram->calls, quantile(histogram, .5), quantile(histogram, .99), quantile(histogram, .9999),
               histogram->most);
        print_main_shares(histogram);
        putchar('\n');
        write_shares(variant, name, system, histogram, longest);
        for (size_t bucket = 0; bucket < BUCKETS; bucket++)
            if (histogram->counts[bucket])
                fprintf(csv, "%s,%s,%s,%lu,%lu\n", variant, name, system, bucket_start(bucket),
                        histogram->counts[bucket]);
    }
}

static void end_early(int number)
{
    (void)number;
    is_over = 1;
}

int main(int argc, char **argv)
{
    FILE *csv = argc == 5 ? fopen(argv[3], "a") : NULL;
    FILE *longest = csv ? fopen(argv[4], "a") : NULL;

    if (!longest) {
        fprintf(stderr, "usage: %s WEIGHTS CALLS CSV CSV_OF_LONGEST\n", argv[0]);
        return 2;
    }
    load_blocks(argv[1]);
    signal(SIGTERM, end_early);
    unsigned long calls = strtoul(argv[2], NULL, 0);
    run(calls / STATIC_ONE_IN, SLOTS_STATIC);
    AO_malloc_enable_mmap();
    mmap_enabled = true;
    run(calls - calls / STATIC_ONE_IN, SLOTS);
    report(AO_malloc_variant(), csv, longest);
    return fclose(csv) != 0 || fclose(longest) != 0;
}
