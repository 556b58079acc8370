/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* What the tests of variants with fronts share. They link builds of them of their own, with injection points. */
#ifndef AOMALLOC_TEST_FRONTS_H
#define AOMALLOC_TEST_FRONTS_H

#include "inject.h"
#include "rng.h"
#include "test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* Enables mmap; ends the test as skipped where there are no fronts. */
void require_fronts(void);

/* As well, for fronts of threads, that the library is told when a thread ends (thread_end.h: with glibc). */
void require_fronts_given_up(void);

/* Blocks of all classes that are neither free in their runs nor in fronts or transfer places. Exact when nobody else is
 * inside the library. */
size_t blocks_out(void);

/* Empties fronts and places; nothing of them may be left, and so many blocks may be out. */
void assert_accounted(size_t out);

/* Bytes of blocks in all fronts; none may have more than its bounds allow. */
size_t bytes_in_fronts(void);

/* Allocates more than a batch, single-stepped by step.h's means, and frees it likewise. */
enum { STEPPED_BLOCKS = 200 };
void step_through_calls(void);

/* A malloc and a free for each of their first instructions, after which act() is called. */
void act_after_each_step(void (*act)(void));

/* Allocates and frees up to TAKEN_MAX blocks of random sizes. AS-safe. */
enum { TAKEN_MAX = 40 };
void take_and_free(struct rng *rng, unsigned count, unsigned doublings);

/* ---- threads ---- */

enum { EXCHANGE_THREADS = 3 };

/* Called by each thread of exchange_while() before each operation, with the thread's number; NULL: nothing is. */
extern void (*exchange_before)(uintptr_t thread);

/*
 * Threads exchange blocks while disturb() is called again and again, for the time that a stress test has; then every
 * block must be accounted for.
 */
void exchange_while(void (*disturb)(const pthread_t *threads));

#endif /* AOMALLOC_TEST_FRONTS_H */
