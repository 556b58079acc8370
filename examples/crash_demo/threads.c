/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */
#include "demo.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

static sem_t work_done;
static atomic_bool go;

void sleep_for_ever(void)
{
    for (;;)
        pause();
}

void worker_done(void)
{
    sem_post(&work_done);
}

static void *run_worker(void *argument)
{
    void (**work)(void) = argument;
    pthread_setname_np(pthread_self(), "demo-worker");
    if (*work)
        (*work)();
    worker_done();
    sleep_for_ever();
    return NULL;
}

void start_worker(void (*work)(void))
{
    pthread_t thread;
    sem_init(&work_done, 0, 0);
    if (pthread_create(&thread, NULL, run_worker, &work) != 0)
        abort();
    while (sem_wait(&work_done) != 0)
        ;
}

static void crash_on_go(void)
{
    worker_done();
    while (!atomic_load(&go))
        ;
    crash_segv();
}

void crash_twice(void)
{
    start_worker(crash_on_go);
    atomic_store(&go, true);
    crash_segv();
}
