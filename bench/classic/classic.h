/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * What the classic programs share. Each is a plain user of malloc: the allocator comes by LD_PRELOAD. It does a fixed
 * amount of work, so that the time it takes is the figure, checks what it finds in every block that it frees, and
 * prints one line that is the same under any malloc.
 */
#ifndef CLASSIC_H
#define CLASSIC_H

#include <stddef.h>
#include <stdint.h>

enum { CLASSIC_MAX_THREADS = 64, CLASSIC_MIN_BYTES = 16, CLASSIC_LINE_BYTES = 64 };

/* What one thread counts; nobody else touches it until the thread has ended. */
struct classic_tally {
    _Alignas(CLASSIC_LINE_BYTES) uint64_t blocks;
    uint64_t bytes;
};

/* Reads --threads N, --work PERCENT, --help, and mode, if not NULL: a word that must come last. Ends on nonsense. */
void classic_begin(int count, char **arguments, const char *mode);
extern unsigned classic_threads;
extern const char *classic_mode; /* the word, or NULL */

/* The amount of work, of which --work says how much is done; at least 1. */
uint64_t classic_work(uint64_t amount);

/* Prints the line. */
void classic_end(const char *name, const struct classic_tally *tallies, unsigned count);
_Noreturn void classic_fail(const char *what);

/* A xorshift generator; a seed per thread makes the sequence the same in every run. */
uint64_t classic_random(uint64_t *state);
size_t classic_between(uint64_t *state, size_t low, size_t high); /* both included */
uint64_t classic_seed(uint64_t number);

/* A block of at least CLASSIC_MIN_BYTES that carries its length at both ends; drop looks whether it still does. */
void *classic_new(size_t bytes, struct classic_tally *tally);
void classic_drop(void *block); /* NULL is fine */

/* Starts body(0) .. body(threads - 1), each in a thread, and waits for their ends. */
void classic_run(unsigned threads, void (*body)(unsigned index));

#endif
