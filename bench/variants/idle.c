/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Many threads that are idle most of the time: each takes some blocks, writes and frees them, a few times over, and
 * then sleeps; eight at a time, as many idle threads do. What is resident afterwards beyond what was before belongs to
 * the allocator: no block is in use.
 */
#include "binding.h"
#include "harness.h"
#include "memory.h"
#include "variants.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>

#define AT_A_TIME 8
#define STACK_BYTES ((size_t)64 * 1024)
#define STACK_USED_BYTES (24 * 1024) /* before the first look, so that a deeper call than before is not memory more */

static const struct variants_options *options;

struct idle_thread {
    pthread_t thread;
    sem_t woken;
    uint64_t random;
};

static sem_t reached; /* by a thread: where it sleeps */

static void sleep_until_woken(struct idle_thread *thread)
{
    sem_post(&reached);
    while (sem_wait(&thread->woken) != 0)
        ;
}

static void wait_for(unsigned threads)
{
    while (threads > 0)
        threads -= sem_wait(&reached) == 0;
}

static void take_and_free(uint64_t *random)
{
    void *taken[1000];
    const unsigned blocks = options->blocks;

    for (unsigned i = 0; i < blocks; i++) {
        taken[i] = bench_take(variants_size(bench_random_next(random)));
        bench_touch(taken[i]);
    }
    for (unsigned i = 0; i < blocks; i++)
        bench_free(taken[i]);
}

__attribute__((noinline)) static void touch_stack(void)
{
    volatile char stack[STACK_USED_BYTES];

    for (size_t i = 0; i < sizeof(stack); i += 1024)
        stack[i] = 1;
}

static void *thread_main(void *argument)
{
    struct idle_thread *thread = argument;

    touch_stack();
    sleep_until_woken(thread);
    for (unsigned round = 0; round < options->rounds; round++) {
        take_and_free(&thread->random);
        bench_yield(); /* so that threads take turns on few cores as well */
    }
    sleep_until_woken(thread);
    return NULL;
}

static void start_all(struct idle_thread *threads)
{
    pthread_attr_t attributes;

    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    for (unsigned i = 0; i < options->threads; i++) {
        threads[i].random = 2 * (uint64_t)i + 1;
        sem_init(&threads[i].woken, 0, 0);
        if (pthread_create(&threads[i].thread, &attributes, thread_main, &threads[i]) != 0)
            bench_fail(BENCH_EXIT_FAILED, "a thread could not be started");
        wait_for(1);
    }
    pthread_attr_destroy(&attributes);
}

static void wake_all(struct idle_thread *threads)
{
    for (unsigned i = 0; i < options->threads; i++) {
        if (i >= AT_A_TIME)
            wait_for(1);
        sem_post(&threads[i].woken);
    }
    wait_for(options->threads < AT_A_TIME ? options->threads : AT_A_TIME);
}

static void end_all(struct idle_thread *threads)
{
    for (unsigned i = 0; i < options->threads; i++) {
        sem_post(&threads[i].woken);
        pthread_join(threads[i].thread, NULL);
    }
}

void variants_idle(const struct variants_options *chosen)
{
    options = chosen;
    sem_init(&reached, 0, 0);
    struct idle_thread *threads = bench_map_resident(options->threads * sizeof(*threads));
    start_all(threads);
    long before = bench_resident_kib();
    wake_all(threads);
    long after = bench_resident_kib();
    (void)bench_binding_trim();
    printf("idle_kib=%ld trimmed_kib=%ld", after - before, bench_resident_kib() - before);
    end_all(threads);
}
