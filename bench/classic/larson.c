/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * A server whose threads end and leave their blocks to their successors. After Larson and Krishnan, "Memory Allocation
 * for Long-Running Server Applications" (ISMM 1998). A lane has 5000 blocks of 16 to 1000 bytes. A thread replaces
 * blocks of its lane, chosen at random, starts its successor and ends: a block is mostly freed by another thread than
 * the one that allocated it.
 */
#include "classic.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>

enum { SLOTS = 5000, GENERATIONS = 100, MOST_BYTES = 1000 };

/* Belongs to one thread at a time; the start of the successor hands it on. */
struct lane {
    struct classic_tally tally;
    void *slots[SLOTS];
    uint64_t random;
    unsigned generation;
};

static struct lane lanes[CLASSIC_MAX_THREADS];
static sem_t ended;

static void start(struct lane *lane);

static void replace(struct lane *lane, size_t slot)
{
    classic_drop(lane->slots[slot]);
    lane->slots[slot] = classic_new(classic_between(&lane->random, CLASSIC_MIN_BYTES, MOST_BYTES), &lane->tally);
}

static void *serve(void *argument)
{
    struct lane *lane = argument;
    for (uint64_t i = classic_work(20000); i > 0; i--)
        replace(lane, classic_between(&lane->random, 0, SLOTS - 1));
    if (++lane->generation < GENERATIONS)
        start(lane);
    else
        sem_post(&ended);
    return NULL;
}

static void start(struct lane *lane)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, serve, lane) != 0)
        classic_fail("cannot start a thread");
    pthread_detach(thread);
}

int main(int count, char **arguments)
{
    struct classic_tally tallies[CLASSIC_MAX_THREADS];
    classic_begin(count, arguments, NULL);
    sem_init(&ended, 0, 0);
    for (unsigned i = 0; i < classic_threads; i++) {
        lanes[i].random = classic_seed(i);
        for (size_t slot = 0; slot < SLOTS; slot++)
            replace(&lanes[i], slot);
    }
    for (unsigned i = 0; i < classic_threads; i++)
        start(&lanes[i]);
    for (unsigned i = 0; i < classic_threads; i++)
        while (sem_wait(&ended) != 0)
            ; /* EINTR */
    for (unsigned i = 0; i < classic_threads; i++) {
        for (size_t slot = 0; slot < SLOTS; slot++)
            classic_drop(lanes[i].slots[slot]);
        tallies[i] = lanes[i].tally;
    }
    classic_end("larson", tallies, classic_threads);
    return EXIT_SUCCESS;
}
