/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Producers allocate, consumers free: no thread ever frees what it has allocated. After Lever and Boreham, "malloc()
 * Performance in a Multithreaded Linux Environment" (USENIX 2000, FREENIX), whose test program is known as
 * xmalloc-test. Blocks of 16 to 256 bytes travel in batches of 256 through a queue with a bound. Threads are as many
 * pairs as half of --threads says, at least one.
 */
#include "classic.h"

#include <pthread.h>
#include <stdlib.h>

enum { BATCH_BLOCKS = 256, QUEUE_BATCHES = 64, MOST_BYTES = 256 };

struct batch {
    struct batch *next;
    void *blocks[BATCH_BLOCKS];
};

/* All under the lock. */
static struct {
    struct batch *first;
    unsigned length;
    uint64_t left; /* batches that no consumer has taken or is waiting for */
} queue;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t not_empty = PTHREAD_COND_INITIALIZER;
static pthread_cond_t not_full = PTHREAD_COND_INITIALIZER;
static struct classic_tally tallies[CLASSIC_MAX_THREADS];
static uint64_t batches_each;
static unsigned producers;

static void put(struct batch *batch)
{
    pthread_mutex_lock(&lock);
    while (queue.length == QUEUE_BATCHES)
        pthread_cond_wait(&not_full, &lock);
    batch->next = queue.first;
    queue.first = batch;
    queue.length++;
    pthread_cond_signal(&not_empty);
    pthread_mutex_unlock(&lock);
}

/* NULL when all that will ever come is spoken for. */
static struct batch *get(void)
{
    struct batch *batch = NULL;
    pthread_mutex_lock(&lock);
    if (queue.left > 0) {
        queue.left--;
        while (queue.length == 0)
            pthread_cond_wait(&not_empty, &lock);
        batch = queue.first;
        queue.first = batch->next;
        queue.length--;
        pthread_cond_signal(&not_full);
    }
    pthread_mutex_unlock(&lock);
    return batch;
}

static struct batch *new_batch(void)
{
    struct batch *batch = malloc(sizeof(*batch));
    if (batch == NULL)
        classic_fail("out of memory");
    return batch;
}

static void produce(unsigned index)
{
    uint64_t random = classic_seed(index);
    for (uint64_t n = 0; n < batches_each; n++) {
        struct batch *batch = new_batch();
        for (size_t i = 0; i < BATCH_BLOCKS; i++)
            batch->blocks[i] = classic_new(classic_between(&random, CLASSIC_MIN_BYTES, MOST_BYTES), &tallies[index]);
        put(batch);
    }
}

static void consume(void)
{
    for (struct batch *batch = get(); batch != NULL; batch = get()) {
        for (size_t i = 0; i < BATCH_BLOCKS; i++)
            classic_drop(batch->blocks[i]);
        free(batch);
    }
}

static void work(unsigned index)
{
    if (index < producers)
        produce(index);
    else
        consume();
}

int main(int count, char **arguments)
{
    classic_begin(count, arguments, NULL);
    producers = classic_threads / 2 ? classic_threads / 2 : 1;
    batches_each = classic_work(40000) / producers;
    queue.left = batches_each * producers;
    classic_run(2 * producers, work);
    classic_end("xmalloc", tallies, producers);
    return EXIT_SUCCESS;
}
