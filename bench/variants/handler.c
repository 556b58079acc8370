/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * How long one malloc and free takes in a signal handler, while a timer's signals meet a thread that allocates all the
 * time. Each handler takes the time of nothing first, two looks at the clock: in it shows what the machine does to
 * whoever runs on it, and what a look costs.
 */
#include "binding.h"
#include "harness.h"
#include "memory.h"
#include "variants.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

#define MOST_THREADS 64
#define MOST_BLOCKS 1000

static const struct variants_options *options;
static uint32_t *nothing_ns, *pair_ns; /* by signal; written by the handler */
static atomic_uint signals;            /* that came; relaxed: nothing else is read by it before a join */
static atomic_bool over;
static bool is_fifo;

static void on_timer(int number)
{
    (void)number;
    unsigned i = atomic_load_explicit(&signals, memory_order_relaxed);
    if (i >= options->rounds)
        return;
    size_t size = variants_size(i * UINT64_C(0x9e3779b97f4a7c15));
    uint64_t start = bench_now_ns();
    uint64_t middle = bench_now_ns();
    void *block = bench_take(size);
    bench_touch(block);
    bench_free(block);
    uint64_t stop = bench_now_ns();
    nothing_ns[i] = (uint32_t)(middle - start);
    pair_ns[i] = (uint32_t)(stop - middle);
    atomic_store_explicit(&signals, i + 1, memory_order_relaxed);
}

static void allocate_until_over(uint64_t random)
{
    void *blocks[MOST_BLOCKS] = {0};

    while (!atomic_load_explicit(&over, memory_order_relaxed)) {
        uint64_t drawn = bench_random_next(&random);
        void **slot = &blocks[(drawn >> 40) % options->blocks];
        bench_free(*slot);
        *slot = bench_take(variants_size(drawn));
        bench_touch(*slot);
        /* Here and not in main, which gets no CPU while a SCHED_FIFO thread has it. */
        if (atomic_load_explicit(&signals, memory_order_relaxed) >= options->rounds)
            atomic_store_explicit(&over, true, memory_order_relaxed);
    }
    for (unsigned i = 0; i < options->blocks; i++)
        bench_free(blocks[i]);
}

static void start_timer(void)
{
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1};
    struct itimerspec interval = {.it_interval.tv_nsec = 1000000000 / options->rate_hz,
                                  .it_value.tv_nsec = 1000000000 / options->rate_hz};
    timer_t timer;

    event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0 || timer_settime(timer, 0, &interval, NULL) != 0)
        bench_fail(BENCH_EXIT_FAILED, "no timer");
}

static void *interrupted(void *unused)
{
    struct sched_param parameter = {.sched_priority = (int)options->priority};

    is_fifo = options->priority != 0 && pthread_setschedparam(pthread_self(), SCHED_FIFO, &parameter) == 0;
    start_timer();
    allocate_until_over(1);
    return unused;
}

static void *beside(void *argument)
{
    allocate_until_over(2 * (uintptr_t)argument + 1);
    return NULL;
}

static int by_value(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;

    return (a > b) - (a < b);
}

static void print_distribution(const char *name, uint32_t *samples)
{
    static const struct {
        const char *name;
        double part;
    } points[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}, {"p99.99", 0.9999}, {"max", 1}};

    qsort(samples, options->rounds, sizeof(*samples), by_value);
    for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++)
        printf(" %s_%s=%u", name, points[i].name, samples[(size_t)(points[i].part * (options->rounds - 1))]);
}

void variants_handler(const struct variants_options *chosen)
{
    struct sigaction action = {.sa_handler = on_timer, .sa_flags = SA_RESTART};
    pthread_t threads[MOST_THREADS];

    options = chosen;
    if (options->threads > MOST_THREADS)
        bench_fail(BENCH_EXIT_FAILED, "that many threads there are not");
    nothing_ns = bench_map_resident(options->rounds * sizeof(*nothing_ns));
    pair_ns = bench_map_resident(options->rounds * sizeof(*pair_ns));
    sigaction(SIGUSR1, &action, NULL);
    for (uintptr_t i = 0; i < options->threads; i++)
        if (pthread_create(&threads[i], NULL, i == 0 ? interrupted : beside, (void *)i) != 0)
            bench_fail(BENCH_EXIT_FAILED, "a thread could not be started");
    for (unsigned i = 0; i < options->threads; i++)
        pthread_join(threads[i], NULL);
    printf("fifo=%d", is_fifo);
    print_distribution("nothing", nothing_ns);
    print_distribution("pair", pair_ns);
}
