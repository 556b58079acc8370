/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* The child of a fork() in a process whose other threads were in the middle of AO_ calls allocates at once. */

#include "canary.h"
#include "exchange.h"
#include "test.h"

#include <aomalloc.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 3, SLOTS = 256, CHILD_OPERATIONS = 500, CHILD_SECONDS_MAX = 60 };

static _Atomic(void *) slots[SLOTS];
static struct exchange exchange = {.slots = slots, .slot_count = SLOTS, .min_bytes = CANARY_MIN_BYTES, .doublings = 8};
static atomic_bool stop;

static void *exchange_until_stopped(void *number)
{
    struct rng rng = rng_stream(test_seed(), (uintptr_t)number);

    while (!atomic_load(&stop)) {
        exchange_one(&exchange, &rng);
        exchange_resize(&exchange, &rng);
    }
    return NULL;
}

/* Slots of its own: the parent's blocks may have been in the middle of being written. */
static _Noreturn void be_forked_child(uint64_t number, unsigned doublings)
{
    static _Atomic(void *) own_slots[SLOTS];
    struct exchange own = {.slots = own_slots, .slot_count = SLOTS, .min_bytes = CANARY_MIN_BYTES};
    struct rng rng = rng_stream(test_seed(), number);

    /* One that waits for a thread that is not here would wait for ever. */
    alarm(CHILD_SECONDS_MAX);
    own.doublings = doublings;
    for (unsigned i = 0; i < CHILD_OPERATIONS / 2; i++) {
        exchange_one(&own, &rng);
        exchange_resize(&own, &rng);
    }
    exchange_clear(&own);
    AO_free(AO_malloc(5 * MIB));
    void *block = AO_malloc(100);
    CHECK(block != NULL);
    AO_free(block);
    _exit(0);
}

static pid_t fork_child(uint64_t number, unsigned doublings)
{
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0)
        be_forked_child(number, doublings);
    return pid;
}

static void assert_child_succeeds(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) < 0)
        CHECK(errno == EINTR);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("the forked child ended with wait status 0x%x", (unsigned)status);
}

static void fork_while_threads_allocate(unsigned doublings)
{
    pthread_t threads[THREADS];
    size_t forks = test_long() ? 2000 : test_times(test_instrumented() ? 10 : 100);

    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, exchange_until_stopped, (void *)(i + 1)) == 0);
    for (size_t i = 0; i < forks; i++)
        assert_child_succeeds(fork_child(1000 + i, doublings));
    atomic_store(&stop, true);
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    exchange_clear(&exchange);
}

TEST(fork_while_threads_allocate_from_the_static_heap)
{
    fork_while_threads_allocate(6);
}

TEST(fork_while_threads_allocate_with_mmap)
{
    AO_malloc_enable_mmap();
    exchange.doublings = 13;
    fork_while_threads_allocate(14);
}

TEST(blocks_of_the_parent_can_be_freed_in_the_child)
{
    static const size_t sizes[] = {16, 1000, 20000, 200 * KIB, 5 * MIB};
    enum { COUNT = sizeof sizes / sizeof sizes[0] };
    void *blocks[COUNT];

    AO_malloc_enable_mmap();
    for (size_t i = 0; i < COUNT; i++) {
        blocks[i] = AO_malloc(sizes[i]);
        assert_non_null(blocks[i]);
        canary_write(blocks[i], sizes[i], i);
    }
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        for (size_t i = 0; i < COUNT; i++) {
            CHECK(canary_take(blocks[i]));
            AO_free(blocks[i]);
        }
        be_forked_child(1, 10);
    }
    assert_child_succeeds(pid);
    for (size_t i = 0; i < COUNT; i++) {
        assert_true(canary_take(blocks[i]));
        AO_free(blocks[i]);
    }
}

/* A handler that forks, and a child whose first act is a handler. */
static volatile sig_atomic_t forked;
static timer_t timer;

/* Once, not periodically: handlers that take longer than a period would leave no time for the calls in between. */
static void arm_timer(void)
{
    static const struct itimerspec once = {{0, 0}, {0, 3000000}};
    timer_settime(timer, 0, &once, NULL);
}

static void fork_in_handler(int signal)
{
    (void)signal;
    int kept = errno;
    int status;
    pid_t pid = fork_child(5000 + (uint64_t)forked, 6);
    while (waitpid(pid, &status, 0) < 0)
        CHECK(errno == EINTR);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    forked++;
    arm_timer();
    errno = kept;
}

/* A thread's own call is interrupted, and the child inherits it half done. */
TEST(fork_in_a_handler_that_interrupted_a_call)
{
    struct rng rng = rng_stream(test_seed(), 7);
    struct sigaction action = {.sa_handler = fork_in_handler, .sa_flags = SA_RESTART};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
    size_t forks = test_times(test_instrumented() ? 5 : 50);

    sigaction(SIGALRM, &action, NULL);
    CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
    arm_timer();
    while ((size_t)forked < forks)
        exchange_one(&exchange, &rng);
    timer_delete(timer);
    exchange_clear(&exchange);
}
