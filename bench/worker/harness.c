/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Runs a workload's steps in n threads and takes the time.
 *
 * The figure is wall time divided by the operations of one thread (their mean), an operation being one malloc plus
 * one free. So a perfectly scaling allocator shows the same number at 1 and 2 threads on two cores, and twice that
 * at 4.
 *
 * Even at --threads 1 a second thread exists, main, asleep: C libraries have shortcuts for processes with a single
 * thread, which are not what this suite is about.
 */
#include "harness.h"

#include "binding.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

atomic_bool bench_stopping;

/* Static, like all of the harness's own memory: in some workers malloc is what is being measured. */
static struct bench_thread threads[BENCH_MAX_THREADS];
static pthread_t handles[BENCH_MAX_THREADS];
static unsigned thread_count;

static pthread_barrier_t start_line;
static const struct bench_workload *current;
static uint64_t ops_wanted;

_Noreturn void bench_fail(int status, const char *sentence)
{
    dprintf(STDERR_FILENO, "bench-worker (%s): %s\n", bench_binding_library(), sentence);
    _exit(status);
}

uint64_t bench_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void bench_yield(void)
{
    sched_yield();
}

static void sleep_ms(unsigned ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
}

/* The CPU of a thread: those that this process may use, in turn. */
static int cpu_for(unsigned index)
{
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0)
        bench_fail(BENCH_EXIT_FAILED, "the CPUs to pin threads to are not known");
    unsigned skip = index % (unsigned)CPU_COUNT(&allowed);
    int cpu = 0;
    while (!CPU_ISSET(cpu, &allowed) || skip-- > 0)
        cpu++;
    return cpu;
}

static void start_one(unsigned index, bool pin, void *(*start)(void *thread))
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    if (pin) {
        cpu_set_t cpu;
        CPU_ZERO(&cpu);
        CPU_SET(cpu_for(index), &cpu);
        pthread_attr_setaffinity_np(&attributes, sizeof(cpu), &cpu);
    }
    if (pthread_create(&handles[index], &attributes, start, &threads[index]) != 0)
        bench_fail(BENCH_EXIT_FAILED, "a thread could not be started");
    pthread_attr_destroy(&attributes);
}

struct bench_thread *bench_threads_start(const struct bench_options *options, void *(*start)(void *thread))
{
    thread_count = options->threads;
    for (unsigned i = 0; i < thread_count; i++) {
        threads[i].index = i;
        threads[i].threads = thread_count;
        threads[i].random = (options->seed + i + 1) * 0x9e3779b97f4a7c15u | 1;
    }
    for (unsigned i = 0; i < thread_count; i++)
        start_one(i, options->pin, start);
    return threads;
}

void bench_threads_join(void)
{
    for (unsigned i = 0; i < thread_count; i++)
        pthread_join(handles[i], NULL);
}

static void run_steps(struct bench_thread *thread)
{
    uint64_t done = 0;
    while (!atomic_load_explicit(&bench_stopping, memory_order_relaxed) && done < ops_wanted) {
        uint64_t left = ops_wanted - done;
        done += current->step(thread, left < current->step_ops ? left : current->step_ops);
        atomic_store_explicit(&thread->done, done, memory_order_relaxed);
    }
}

static void *timed_thread(void *argument)
{
    struct bench_thread *thread = argument;
    if (current->enter != NULL)
        current->enter(thread);
    pthread_barrier_wait(&start_line);
    run_steps(thread);
    pthread_barrier_wait(&start_line);
    if (current->leave != NULL)
        current->leave(thread);
    return NULL;
}

static uint64_t ops_so_far(void)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < thread_count; i++)
        sum += atomic_load_explicit(&threads[i].done, memory_order_relaxed);
    return sum;
}

/*
 * The threads run on while main looks at clock and counters at
 * both ends: nobody waits for a last thread inside the window.
 */
static void measure_window(unsigned time_ms, uint64_t *ns, uint64_t *ops)
{
    sleep_ms(time_ms / 4 > 20 ? time_ms / 4 : 20); /* warm-up */
    uint64_t begin = bench_now_ns();
    uint64_t ops_before = ops_so_far();
    do { /* more than once only where other processes kept all threads from every CPU */
        sleep_ms(time_ms);
        *ns = bench_now_ns() - begin;
        *ops = ops_so_far() - ops_before;
    } while (*ops == 0);
    atomic_store(&bench_stopping, true);
    pthread_barrier_wait(&start_line);
}

static void measure_to_end(uint64_t *ns, uint64_t *ops)
{
    uint64_t begin = bench_now_ns();
    pthread_barrier_wait(&start_line);
    *ns = bench_now_ns() - begin;
    *ops = ops_so_far();
}

struct bench_result bench_timed_run(const struct bench_workload *workload, const struct bench_options *options)
{
    struct bench_result result = {0};
    uint64_t ns;

    current = workload;
    ops_wanted = options->ops != 0 ? options->ops : UINT64_MAX;
    pthread_barrier_init(&start_line, NULL, options->threads + 1);
    bench_threads_start(options, timed_thread);
    pthread_barrier_wait(&start_line);
    if (options->ops != 0)
        measure_to_end(&ns, &result.ops);
    else
        measure_window(options->time_ms, &ns, &result.ops);
    bench_threads_join();
    result.ns_per_op = (double)ns * options->threads / (double)result.ops;
    return result;
}
