/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Forks while other threads are in sections, or hold a transfer place or a front that they are emptying. In the child
 * these threads are gone for good: what they held is lost, all the rest must be there and work.
 */

#define _GNU_SOURCE
#include "fronts.h"

#include "canary.h"
#include "exchange.h"

#include <aomalloc.h>
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "census.h"
#include "front.h"

enum { THREADS = 3, HELD = 700, CHILD_SECONDS_MAX = 60 };

static atomic_bool stop;

/* Whoever forks gets the CPU when others are in the middle of something. */
static void give_others_time(enum inject_window window)
{
    (void)window;
    sched_yield();
}

/* Nothing but sections most of the time; each thread a size of its own, and one that they share. */
static void *use_sections(void *argument)
{
    size_t own = 32 + 16 * (uintptr_t)argument;
    void *blocks[HELD];

    for (unsigned long round = 0; !atomic_load(&stop); round++) {
        unsigned count = round % 16 == 0 ? HELD : 4; /* seldom, more than a front holds */
        for (unsigned i = 0; i < count; i++) {
            blocks[i] = AO_malloc(i % 8 ? 128 : own);
            CHECK(blocks[i]);
            canary_write(blocks[i], 32, i);
        }
        for (unsigned i = 0; i < count; i++) {
            CHECK(canary_take(blocks[i]));
            AO_free(blocks[i]);
        }
    }
    return NULL;
}

static void *empty_fronts(void *argument)
{
    (void)argument;
    while (!atomic_load(&stop))
        AO_malloc_trim();
    return NULL;
}

static void use_heap(uint64_t number)
{
    static _Atomic(void *) slots[64];
    struct exchange exchange = {.slots = slots, .slot_count = 64, .min_bytes = 32, .doublings = 6};
    struct rng rng = rng_stream(test_seed(), number);

    for (unsigned i = 0; i < 300; i++) {
        exchange_one(&exchange, &rng);
        exchange_resize(&exchange, &rng);
    }
    exchange_clear(&exchange);
}

/* Blocks that nobody can free any more. A thread may have been making a run, or about to list one. */
static size_t blocks_lost(void)
{
    struct aoma_census census;

    aoma_fronts_drain();
    CHECK(aoma_fronts_count() <= (size_t)AOMA_CLASSES * 1024);
    aoma_census_count(&census);
    CHECK(census.blocks >= census.blocks_free);
    CHECK(census.chunks_taken >= census.chunks_in_runs);
    return census.blocks - census.blocks_free;
}

/*
 * A thread in use_sections() holds HELD blocks and one, and a batch in a place or a run of up to 512 blocks that it was
 * taking apart; the one that empties fronts holds what was in them.
 */
#define LOST_MAX ((size_t)THREADS * (HELD + 1 + AOMA_FRONT_BATCH_MAX + 512) + AOMA_FRONT_SLOTS)

static _Noreturn void be_forked_child(uint64_t number)
{
    inject_window = NULL;
    alarm(CHILD_SECONDS_MAX); /* for one that waits for a thread that is not here */
    use_heap(number);
    CHECK(strcmp(AO_malloc_mode(), TEST_FRONTS_MODE) == 0);
    size_t lost = blocks_lost();
    CHECK(lost <= LOST_MAX);
    use_heap(number + 1);
    CHECK(blocks_lost() == lost); /* all that is used now comes back */
    _exit(0);
}

static void fork_child(uint64_t number)
{
    int status;
    pid_t pid = fork();

    CHECK(pid >= 0);
    if (pid == 0)
        be_forked_child(number);
    while (waitpid(pid, &status, 0) < 0)
        CHECK(errno == EINTR);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("the forked child ended with wait status 0x%x", (unsigned)status);
}

static void fork_while(void *(*last)(void *))
{
    pthread_t threads[THREADS];
    unsigned forks = test_long() ? 1000 : test_instrumented() ? 20 : 150;

    require_fronts();
    inject_window = give_others_time;
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, i < THREADS - 1 ? use_sections : last, (void *)i) == 0);
    for (unsigned i = 0; i < forks; i++)
        fork_child(1000 + i);
    atomic_store(&stop, true);
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    inject_window = NULL;
    assert_accounted(0);
}

TEST(fork_while_threads_are_in_sections)
{
    fork_while(use_sections);
}

TEST(fork_while_fronts_are_emptied)
{
    fork_while(empty_fronts);
}
