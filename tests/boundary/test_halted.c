/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * A thread stops for ever, or is killed, at each instruction boundary of each call in each state; then a second one
 * at some instruction of calls of its own. Others must complete their operations all the same, and when all they had
 * is freed no more may be missing than what the threads that never came back may have had in their hands.
 */

#define _GNU_SOURCE
#include "boundary.h"
#include "canary.h"
#include "exchange.h"
#include "step.h"
#include "test.h"

#include <aomalloc.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    WORKERS = 2,
    OPERATIONS = 10000,
    SLOTS = 64,
    SECONDS_MAX = 100,
    SECOND_STEPS_ABOUT = 400,
    SAMPLES = 1,
    PAIRS_ONE_IN = 4,
    ONE_IN_LONG = 64
};

static _Atomic(void *) slots[SLOTS];
static struct exchange exchange = {.slots = slots, .slot_count = SLOTS, .min_bytes = CANARY_MIN_BYTES, .doublings = 3};

static const struct state *current;
static unsigned threads; /* that never come back */
static bool killed;
static atomic_uint halted;

static void *work(void *number)
{
    struct rng rng = rng_stream(test_seed(), (uintptr_t)number);

    for (unsigned i = 0; i < OPERATIONS / 2; i++) {
        CHECK(exchange_one(&exchange, &rng));
        exchange_resize(&exchange, &rng);
    }
    return NULL;
}

static _Noreturn void never_come_back(void)
{
    atomic_fetch_add(&halted, 1);
    if (killed)
        syscall(SYS_exit, 0); /* of this thread alone */
    for (;;)
        pause();
}

/* ---- the second one ---- */

static void few_calls(void)
{
    step_on();
    void *block = AO_malloc(STATE_BYTES);
    AO_free(block);
    step_off();
}

static _Noreturn void *halt_in_few_calls(void *unused)
{
    (void)unused;
    for (;;) /* where the calls took fewer instructions, again */
        boundary_interrupted_within(few_calls, never_come_back, SECOND_STEPS_ABOUT);
}

/* ---- those that go on ---- */

static void note_most(unsigned long *most, unsigned long value)
{
    if (value > *most)
        *most = value;
}

static _Noreturn void judge(void)
{
    struct state_missing missing = state_missing();

    note_most(&tally->blocks, missing.blocks);
    note_most(&tally->chunks, missing.chunks);
    note_most(&tally->hidden, missing.hidden_chunks);
    state_assert_missing(current, &missing, threads);
    _exit(0);
}

static void *go_on(void *unused)
{
    pthread_t thread, workers[WORKERS];

    (void)unused;
    if (threads > 1)
        CHECK(pthread_create(&thread, NULL, halt_in_few_calls, NULL) == 0);
    while (atomic_load(&halted) < threads)
        usleep(50);
    state_make_room(current);
    for (size_t i = 0; i < WORKERS; i++)
        CHECK(pthread_create(&workers[i], NULL, work, (void *)i) == 0);
    for (size_t i = 0; i < WORKERS; i++)
        CHECK(pthread_join(workers[i], NULL) == 0);
    exchange_clear(&exchange);
    judge();
}

/* In the handler of the thread that was stepped through. */
static void halt(void)
{
    pthread_t thread;

    alarm(SECONDS_MAX);
    CHECK(pthread_create(&thread, NULL, go_on, NULL) == 0);
    never_come_back();
}

static void halt_in_state(const struct state *state, bool with_breakpoints)
{
    boundary_begin();
    if (!boundary_is_possible(state, with_breakpoints))
        return;
    current = state;
    boundary_each(&(struct boundary_plan){
        .state = state,
        .what = killed ? "killed" : "frozen",
        .samples = SAMPLES,
        .ways = threads == 1 ? 1 : PAIRS_ONE_IN,
        .one_in_long = ONE_IN_LONG,
        .at = halt,
        .with_breakpoints = with_breakpoints,
    });
    printf("covered: proof=%s extent=%s way=%s call=%s state=%s instructions=%lu boundaries=%lu runs=%lu threads=%u "
           "missing_blocks=%lu missing_chunks=%lu hidden_chunks=%lu\n",
           killed ? "killed" : "frozen", boundary_extent_name(), with_breakpoints ? "breakpoints" : "steps",
           state->call, state->name, tally->boundaries, tally->covered, tally->copies, threads, tally->blocks,
           tally->chunks, tally->hidden);
}

/* Of the four ways that a state is halted in: of a few one, of some two. */
static bool is_meant(size_t state)
{
    static const size_t one_in[] = {[BOUNDARY_FEW] = 4, [BOUNDARY_SOME] = 2, [BOUNDARY_EACH] = 1, [BOUNDARY_ALL] = 1};

    return (state + test_seed() + 2 * (size_t)(threads - 1) + killed) % one_in[boundary_extent()] == 0;
}

static void halt_in_each_state(unsigned how_many, bool by_killing)
{
    threads = how_many;
    killed = by_killing;
    for (size_t i = 0; i < states_count; i++)
        if (is_meant(i))
            halt_in_state(&states[i], false);
    for (size_t i = 0; i < states_of_variant_count; i++) {
        if (is_meant(i)) {
            halt_in_state(&states_of_variant[i], false);
            halt_in_state(&states_of_variant[i], true);
        }
    }
}

TEST(frozen_in_each_state)
{
    halt_in_each_state(1, false);
}

TEST(two_frozen_in_each_state)
{
    halt_in_each_state(2, false);
}

TEST(killed_in_each_state)
{
    halt_in_each_state(1, true);
}

TEST(two_killed_in_each_state)
{
    halt_in_each_state(2, true);
}
