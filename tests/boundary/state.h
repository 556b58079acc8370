/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * The states in which calls are interrupted, stopped, killed and forked at each instruction: one table for all of it.
 * What the heap holds is known exactly before and after each.
 */
#ifndef AOMALLOC_TEST_STATE_H
#define AOMALLOC_TEST_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum needs {
    STATIC_HEAP, /* no mmap; all variants work on their heaps */
    MMAP,
    FRONTS, /* mmap, and fronts */
};

struct state {
    const char *call; /* the function */
    const char *name;
    void (*prepare)(void); /* in a new process, with mmap enabled or not */
    void (*call_it)(void); /* the call, between step_on() and step_off(), and nothing before or behind */
    enum needs needs;
    /* What one thread that never comes back may take with it; 0: the usual, see state_missing_... */
    size_t missing_blocks, missing_chunks;
};

/* Those of lib/, and those that only this variant has. */
extern const struct state states[], states_of_variant[];
extern const size_t states_count, states_of_variant_count;

/* The size that is in the making, and that of large objects. */
enum { STATE_BYTES = 100, STATE_LARGE_BYTES = 100 * 1024 };

/* Blocks that are in use besides, all with canaries. */
enum { HELD_MAX = 4096 };
extern void *held[HELD_MAX];
extern size_t held_count;

/* What call_it() frees or resizes, with a canary; and what it returned. */
extern void *subject;
extern void *volatile returned;
extern size_t returned_bytes;

void *state_allocate(size_t size);
void state_release(void *block);

/* One more that is held, or one less. */
void state_hold(size_t size);
void state_hold_many(size_t size, size_t count);
void state_release_held(void);

/* For states_of_variant. */
void state_malloc(void);
void state_free(void);
void state_trim(void);

/* Where nothing is left, all but what the call is about is freed. */
void state_make_room(const struct state *state);

/* Set by handlers that use all there is: the call may return NULL. */
extern bool state_memory_was_short;

/* Fails unless the call did what it is for; frees what it returned. */
void state_end(const struct state *state);

/* Everything is free, every block, chunk and byte of mappings is accounted for, and every chunk is found. */
void state_assert_whole(void);

/* What is in nobody's hands and not free, and chunks that are free and not found; everything that others had is freed
 * already. */
struct state_missing {
    size_t blocks, chunks, hidden_chunks;
};
struct state_missing state_missing(void);

/* Fails if it is more than so many threads may have had in their hands. */
void state_assert_missing(const struct state *state, const struct state_missing *missing, unsigned threads);

#endif /* AOMALLOC_TEST_STATE_H */
