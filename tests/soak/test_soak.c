/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Everything at once: threads that start and end, each with a timer set to 10 kHz whose handler allocates and frees,
 * that move from CPU to CPU, while others fork, trim, and ask for what can be asked. Every block bears a canary, and at
 * the end the heap must be whole. As long as AOMALLOC_TEST_SECONDS says. AOMALLOC_SOAK_CSV names a file for samples:
 * seconds, operations per second, resident bytes. tools/soak.sh draws them.
 */

#define _GNU_SOURCE
#include "canary.h"
#include "exchange.h"
#include "process.h"
#include "test.h"
#include "whole.h"

#include <aomalloc.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

enum {
    LANES = 4,
    SMALL_SLOTS = 4096,
    SMALL_DOUBLINGS = 8, /* of 16 bytes: 4 KiB */
    LARGE_SLOTS = 32,
    LARGE_MIN_BYTES = 4096,
    LARGE_DOUBLINGS = 9,       /* 2 MiB */
    SIGNAL_PERIOD_NS = 100000, /* 10 kHz */
    OPERATIONS_PER_LOOK = 256,
    LOOKS_MAX = 100, /* of one thread */
    CHILD_OPERATIONS = 300,
    SAMPLES = 300,
};

static _Atomic(void *) small_slots[SMALL_SLOTS], large_slots[LARGE_SLOTS];
static const struct exchange small = {SMALL_SLOTS, CANARY_MIN_BYTES, SMALL_DOUBLINGS, small_slots};
static const struct exchange large = {LARGE_SLOTS, LARGE_MIN_BYTES, LARGE_DOUBLINGS, large_slots};
static uint64_t deadline_ns;
static atomic_ulong operations, handlers, threads_started, forks, trims, moves;

static void sleep_ms(long ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    while (nanosleep(&time, &time) != 0 && errno == EINTR)
        ;
}

static bool is_over(void)
{
    return test_passed(deadline_ns);
}

/* ---- workers ---- */

static void handle(int number)
{
    int kept = errno;
    struct rng rng = rng_stream(test_seed(), UINT32_MAX + atomic_fetch_add(&handlers, 1));

    (void)number;
    void *own = AO_malloc(200);
    if (own)
        canary_write(own, 200, rng_next(&rng));
    exchange_one(&small, &rng);
    CHECK(!own || canary_take(own));
    AO_free(own);
    errno = kept;
}

static timer_t start_timer(void)
{
    struct itimerspec period = {.it_interval.tv_nsec = SIGNAL_PERIOD_NS, .it_value.tv_nsec = SIGNAL_PERIOD_NS};
    struct sigevent event;
    timer_t timer;

    memset(&event, 0, sizeof event);
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGALRM;
    event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
    CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
    CHECK(timer_settime(timer, 0, &period, NULL) == 0);
    return timer;
}

/* To one of the CPUs that the process may use. */
static void move(struct rng *rng)
{
    cpu_set_t all, one;

    CHECK(sched_getaffinity(getpid(), sizeof all, &all) == 0);
    for (int cpu = (int)rng_below(rng, CPU_SETSIZE), i = 0; i < CPU_SETSIZE; i++, cpu = (cpu + 1) % CPU_SETSIZE) {
        if (!CPU_ISSET(cpu, &all))
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        (void)sched_setaffinity(0, sizeof one, &one); /* a CPU may have gone */
        atomic_fetch_add(&moves, 1);
        return;
    }
}

static void *work(void *seed)
{
    struct rng rng = rng_stream(test_seed(), (uintptr_t)seed);
    timer_t timer = start_timer();
    size_t looks = rng_below(&rng, LOOKS_MAX) + 1;

    for (size_t i = 0; i < looks && !is_over(); i++) {
        for (unsigned n = 0; n < OPERATIONS_PER_LOOK / 2; n++) {
            exchange_one(&small, &rng);
            exchange_resize(&small, &rng);
        }
        exchange_one(&large, &rng);
        exchange_resize(&large, &rng);
        atomic_fetch_add(&operations, OPERATIONS_PER_LOOK);
        if (rng_below(&rng, 4) == 0)
            move(&rng);
    }
    timer_delete(timer);
    return NULL;
}

/* One thread after the other. */
static void *keep_lane(void *unused)
{
    pthread_t thread;

    while (!is_over()) {
        CHECK(pthread_create(&thread, NULL, work, (void *)(atomic_fetch_add(&threads_started, 1) + 1)) == 0);
        CHECK(pthread_join(thread, NULL) == 0);
    }
    return unused;
}

/* ---- the others ---- */

static void work_in_child(unsigned long number)
{
    struct rng rng = rng_stream(test_seed(), (uint64_t)number << 32);

    for (unsigned i = 0; i < CHILD_OPERATIONS; i++)
        exchange_one(&small, &rng);
    exchange_one(&large, &rng);
}

static void *keep_forking(void *unused)
{
    while (!is_over()) {
        unsigned long number = atomic_fetch_add(&forks, 1) + 1;
        int status = 0;
        pid_t child = fork();

        CHECK(child >= 0);
        if (child == 0) {
            work_in_child(number);
            _exit(EXIT_SUCCESS);
        }
        CHECK(waitpid(child, &status, 0) == child);
        CHECK(status == 0);
        sleep_ms(20);
    }
    return unused;
}

static void *keep_asking(void *unused)
{
    while (!is_over()) {
        void *block = AO_malloc(1000);

        CHECK(!block || AO_malloc_usable_size(block) >= 1000);
        AO_free(block);
        CHECK(strcmp(AO_malloc_variant(), TEST_VARIANT) == 0 && AO_malloc_mode());
        sleep_ms(1);
    }
    return unused;
}

static void *keep_trimming(void *unused)
{
    while (!is_over()) {
        AO_malloc_trim();
        atomic_fetch_add(&trims, 1);
        sleep_ms(50);
    }
    return unused;
}

/* ---- samples ---- */

static double seconds_since(uint64_t start_ns)
{
    return (double)(test_now_ns() - start_ns) / 1e9;
}

static void take_samples(void)
{
    const char *path = getenv("AOMALLOC_SOAK_CSV");
    FILE *file = path ? fopen(path, "w") : NULL;
    uint64_t start_ns = test_now_ns();
    double last = 0;
    unsigned long done = 0;

    CHECK(file || !path);
    if (file)
        fprintf(file, "seconds,operations_per_second,resident_bytes\n");
    while (!is_over()) {
        sleep_ms((long)(test_seconds() * 1000 / SAMPLES) + 1);
        double now = seconds_since(start_ns);
        unsigned long more = atomic_load(&operations) - done;
        if (file)
            CHECK(fprintf(file, "%.2f,%.0f,%zu\n", now, (double)more / (now - last), process_resident_bytes()) > 0);
        done += more;
        last = now;
    }
    CHECK(!file || fclose(file) == 0);
}

static void print_counts(double seconds)
{
    unsigned long handled = atomic_load(&handlers);

    printf("%lu operations, %lu handlers (%.0f per second and thread), %lu threads, %lu forks, %lu trims, %lu moves\n",
           atomic_load(&operations), handled, (double)handled / seconds / LANES, atomic_load(&threads_started),
           atomic_load(&forks), atomic_load(&trims), atomic_load(&moves));
}

TEST(everything_at_once)
{
    void *(*const others[])(void *) = {keep_forking, keep_asking, keep_trimming};
    enum { OTHERS = sizeof others / sizeof others[0] };
    struct sigaction action = {.sa_handler = handle, .sa_flags = SA_RESTART};
    pthread_t thread[LANES + OTHERS];

    if (TEST_SANITIZED_THREAD)
        test_skip("ThreadSanitizer does not know what a forked child of a threaded process does");
    test_require_mremap();
    whole_measure();
    AO_malloc_enable_mmap();
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    uint64_t start_ns = test_now_ns();
    deadline_ns = test_deadline_ns();
    for (unsigned i = 0; i < LANES + OTHERS; i++)
        CHECK(pthread_create(&thread[i], NULL, i < LANES ? keep_lane : others[i - LANES], NULL) == 0);
    take_samples();
    for (unsigned i = 0; i < LANES + OTHERS; i++)
        CHECK(pthread_join(thread[i], NULL) == 0);
    CHECK(atomic_load(&operations) > 0 && atomic_load(&handlers) > 0 && atomic_load(&forks) > 0);
    print_counts(seconds_since(start_ns));
    exchange_clear(&small);
    exchange_clear(&large);
    whole_assert_with_windows();
}
