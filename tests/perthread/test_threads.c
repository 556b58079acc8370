/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* Threads begin and end: each has one front at most, and what it cached goes back. */

#define _GNU_SOURCE
#include "fronts.h"

#include "canary.h"
#include "process.h"
#include "rng.h"
#include "step.h"

#include <aomalloc.h>
#include <string.h>
#include <sys/syscall.h>

#include "owner.h"

static unsigned fronts_made(void)
{
    unsigned count = 0;

    while (count < AOMA_NUMBERS && aoma_front_made(count))
        count++;
    return count;
}

static unsigned fronts_owned(void)
{
    unsigned count = 0;

    for (unsigned number = 0; number < AOMA_NUMBERS; number++)
        count += aoma_ptr_load_acquire(&aoma_thread_owners[number]) != 0;
    return count;
}

static void start(pthread_t *thread, void *(*run)(void *), uintptr_t argument)
{
    CHECK(pthread_create(thread, NULL, run, (void *)argument) == 0);
}

static void *run_in_thread(void *(*run)(void *), uintptr_t argument)
{
    pthread_t thread;
    void *result;

    start(&thread, run, argument);
    CHECK(pthread_join(thread, &result) == 0);
    return result;
}

/* Leaves blocks of several classes in the thread's front. */
static void *allocate_and_free(void *argument)
{
    struct rng rng = rng_stream(test_seed(), (uintptr_t)argument);

    take_and_free(&rng, TAKEN_MAX, 7);
    return NULL;
}

TEST(cache_of_a_thread_that_ends_goes_back)
{
    require_fronts_given_up();
    for (uintptr_t i = 0; i < 20; i++) {
        (void)run_in_thread(allocate_and_free, i);
        CHECK(bytes_in_fronts() == 0 && fronts_owned() == 0 && fronts_made() == 1);
        CHECK(blocks_out() == 0);
    }
    assert_accounted(0);
}

/* Blocks of one thread, freed by others that end. */
static void *blocks_of_another[1000];

static void *free_share(void *argument)
{
    for (size_t i = (uintptr_t)argument; i < 1000; i += 4)
        AO_free(blocks_of_another[i]);
    return NULL;
}

TEST(what_threads_freed_for_others_goes_back)
{
    require_fronts_given_up();
    for (unsigned i = 0; i < 1000; i++)
        CHECK((blocks_of_another[i] = AO_malloc(200)));
    aoma_fronts_drain();
    CHECK(bytes_in_fronts() == 0);
    for (uintptr_t i = 0; i < 4; i++)
        (void)run_in_thread(free_share, i);
    CHECK(bytes_in_fronts() == 0 && blocks_out() == 0);
    assert_accounted(0);
}

TEST(threads_start_and_end_by_thousands)
{
    enum { AT_ONCE = 8 };
    pthread_t threads[AT_ONCE];
    size_t rounds = test_times(test_instrumented() ? 50 : 10000 / AT_ONCE);

    require_fronts_given_up();
    for (size_t round = 0; round < rounds; round++) {
        for (unsigned i = 0; i < AT_ONCE; i++)
            start(&threads[i], allocate_and_free, round * AT_ONCE + i);
        for (unsigned i = 0; i < AT_ONCE; i++)
            CHECK(pthread_join(threads[i], NULL) == 0);
    }
    CHECK(fronts_made() <= AT_ONCE && fronts_owned() == 0);
    CHECK(bytes_in_fronts() == 0 && blocks_out() == 0);
    assert_accounted(0);
}

/* The destructor of a key that is made after the library's runs after it. */
static void allocate_after_the_end(void *value)
{
    unsigned *calls = value;

    CHECK(fronts_owned() == 0);
    (void)allocate_and_free(value);
    CHECK(fronts_owned() == 0 && bytes_in_fronts() == 0 && !aoma_thread_front);
    ++*calls;
}

static pthread_key_t after_key;

static void *ask_for_a_call_after_the_end(void *calls)
{
    (void)allocate_and_free(calls);
    CHECK(fronts_owned() == 1);
    CHECK(pthread_setspecific(after_key, calls) == 0);
    return NULL;
}

TEST(calls_after_the_end_use_the_heap)
{
    static unsigned calls;

    require_fronts_given_up(); /* makes the library's key */
    CHECK(pthread_key_create(&after_key, allocate_after_the_end) == 0);
    for (unsigned i = 0; i < 5; i++)
        (void)run_in_thread(ask_for_a_call_after_the_end, (uintptr_t)&calls);
    CHECK(calls == 5 && blocks_out() == 0);
    assert_accounted(0);
}

/* With more keys than setting a value can do without memory for. */
TEST(nobody_is_told_of_ends)
{
    enum { KEYS = 40 };
    pthread_key_t key;

    for (unsigned i = 0; i < KEYS; i++)
        CHECK(pthread_key_create(&key, NULL) == 0);
    require_fronts();
    for (uintptr_t i = 0; i < 50; i++)
        (void)run_in_thread(allocate_and_free, i);
    CHECK(fronts_owned() > 0);
    CHECK(fronts_made() <= 3); /* a new thread mostly has the address of the last */
    CHECK(blocks_out() == 0);
    assert_accounted(0);
}

static void *keep(void *argument)
{
    (void)argument;
    return AO_malloc(100);
}

TEST(membarrier_refused)
{
    refuse_system_call(SYS_membarrier);
    AO_malloc_enable_mmap();
    CHECK(strcmp(AO_malloc_mode(), "cas: membarrier is refused") == 0);
    AO_free(run_in_thread(keep, 0));
    CHECK(fronts_made() == 0);
}

TEST(no_front_before_mmap)
{
    AO_free(run_in_thread(keep, 0));
    AO_free(AO_malloc(100));
    CHECK(strncmp(AO_malloc_mode(), "cas: ", 5) == 0 && fronts_made() == 0 && !aoma_fronts_on());
}

/* ---- in the middle of getting or giving up a front ---- */

static _Thread_local unsigned long steps;
static unsigned long act_after;
static atomic_bool acted;

static bool allocate_once(void)
{
    if (++steps < act_after)
        return true;
    AO_free(AO_malloc(100));
    atomic_store(&acted, true);
    return false;
}

static void *first_call(void *argument)
{
    (void)argument;
    steps = 0;
    step_with(allocate_once);
    step_on();
    void *block = AO_malloc(100);
    step_off();
    step_with(NULL);
    CHECK(block && fronts_owned() == 1);
    CHECK(aoma_ptr_load_acquire(&aoma_thread_owners[aoma_hint_get(&aoma_thread_head(aoma_thread_front)->number)]) ==
          (uintptr_t)&aoma_thread_front);
    AO_free(block);
    return NULL;
}

static void step_through_first_calls(unsigned long by)
{
    atomic_store(&acted, true);
    for (act_after = 1; atomic_load(&acted); act_after += by) {
        atomic_store(&acted, false);
        (void)run_in_thread(first_call, 0);
        CHECK(bytes_in_fronts() == 0 && fronts_owned() == 0);
    }
    CHECK(act_after > 50);
    CHECK(fronts_made() <= 2);
    assert_accounted(0);
}

TEST(handler_during_the_first_call_of_a_thread)
{
    require_fronts_given_up();
    step_require();
    step_through_first_calls(test_long() ? 1 : 11);
}

/* The thread's end under steps: the destructor of a key that is made before the library's runs before it. */
static pthread_key_t before_key;

static void step_from_here(void *value)
{
    (void)value;
    steps = 0;
    step_with(allocate_once);
    step_on();
}

static void *end_under_steps(void *argument)
{
    (void)allocate_and_free(argument);
    CHECK(pthread_setspecific(before_key, argument) == 0);
    return NULL;
}

TEST(handler_during_the_end_of_a_thread)
{
    step_require();
    CHECK(pthread_key_create(&before_key, step_from_here) == 0);
    require_fronts_given_up();
    for (act_after = 1; act_after < 3000; act_after += test_long() ? 1 : 29) {
        atomic_store(&acted, false);
        (void)run_in_thread(end_under_steps, act_after);
        CHECK(bytes_in_fronts() == 0 && fronts_owned() == 0 && blocks_out() == 0);
    }
    CHECK(fronts_made() <= 3);
    assert_accounted(0);
}
