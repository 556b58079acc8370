/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * A thread is stopped for ever after the k-th instruction of a sequence of calls, for many k. The others must complete
 * their work all the same, and no more memory may be missing than one thread can hold in its hands.
 */

#define _GNU_SOURCE
#include "canary.h"
#include "chain.h"
#include "child.h"
#include "exchange.h"
#include "step.h"
#include "test.h"

#include <aomalloc.h>

#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SLOTS = 128, OPERATIONS = 10000, WORKERS = 2, FROZEN_MAX = 6, SECONDS_MAX = 60 };

/* What a frozen thread may hold: the runs it was about to use or to give back, with what it had allocated. */
#define MISSING_BYTES_MAX (96 * KIB)

/* In trim: a range of free chunks that it was about to purge, at most a segment. */
#define MISSING_BYTES_MAX_IN_TRIM (512 * KIB)

static _Atomic(void *) slots[SLOTS];
static struct exchange exchange = {.slots = slots, .slot_count = SLOTS, .min_bytes = CANARY_MIN_BYTES, .doublings = 7};

/* Filled by the thread that is stepped through; those it holds when it is frozen are missing. */
static _Thread_local unsigned long steps_left;
static atomic_uint frozen;

struct stepped {
    void (*run)(void);
    void (*prepare)(void);      /* before, in the main thread */
    unsigned threads;           /* that are frozen, each at another instruction */
    size_t missing_bytes_max;   /* for each of them */
    unsigned long *steps;       /* shared with the parent: how many there are */
    unsigned long freeze_after; /* of the first thread */
};

static bool freeze_at_last_step(void)
{
    if (--steps_left != 0)
        return true;
    atomic_fetch_add(&frozen, 1);
    for (;;)
        pause();
}

static void (*run_to_freeze)(void);

static void *step_until_frozen(void *after)
{
    steps_left = (unsigned long)(uintptr_t)after;
    step_with(freeze_at_last_step);
    step_on();
    run_to_freeze();
    step_off();
    /* It may take fewer instructions when others have done a part: then it ends instead. */
    atomic_fetch_add(&frozen, 1);
    return NULL;
}

static void *work(void *number)
{
    struct rng rng = rng_stream(test_seed(), (uintptr_t)number);

    for (unsigned i = 0; i < OPERATIONS; i++) {
        exchange_one(&exchange, &rng);
        exchange_resize(&exchange, &rng);
    }
    return NULL;
}

static void assert_little_is_missing(size_t missing_bytes_max)
{
    struct chain chain = {0};

    AO_malloc_set_limit(0);
    chain_exhaust(&chain, 3000);
    CHECK(chain.bytes + missing_bytes_max >= TEST_HEAP_BYTES / 100 * 85);
    chain_free(&chain);
}

static void freeze_and_work(void *argument)
{
    const struct stepped *stepped = argument;
    pthread_t thread, workers[WORKERS];

    alarm(SECONDS_MAX);
    stepped->prepare();
    run_to_freeze = stepped->run;
    for (unsigned i = 0; i < stepped->threads; i++) {
        unsigned long after = 1 + (stepped->freeze_after + i * *stepped->steps / stepped->threads) % *stepped->steps;
        CHECK(pthread_create(&thread, NULL, step_until_frozen, (void *)(uintptr_t)after) == 0);
    }
    while (atomic_load(&frozen) < stepped->threads)
        usleep(100);
    for (size_t i = 0; i < WORKERS; i++)
        CHECK(pthread_create(&workers[i], NULL, work, (void *)i) == 0);
    for (size_t i = 0; i < WORKERS; i++)
        CHECK(pthread_join(workers[i], NULL) == 0);
    exchange_clear(&exchange);
    assert_little_is_missing(stepped->threads * stepped->missing_bytes_max);
    _exit(0);
}

static unsigned long *counted_steps;

static bool count_step(void)
{
    ++*counted_steps;
    return true;
}

/* As freeze_and_work does it, in a thread, so that the same instructions are counted. */
static void *count_steps_in_thread(void *argument)
{
    const struct stepped *stepped = argument;
    step_with(count_step);
    step_on();
    stepped->run();
    step_off();
    return NULL;
}

static void count_steps(void *argument)
{
    const struct stepped *stepped = argument;
    pthread_t thread;

    stepped->prepare();
    counted_steps = stepped->steps;
    CHECK(pthread_create(&thread, NULL, count_steps_in_thread, argument) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
}

static void freeze_everywhere_missing(void (*run)(void), void (*prepare)(void), unsigned threads,
                                      size_t missing_bytes_max)
{
    unsigned long *steps = mmap(NULL, sizeof *steps, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct stepped stepped = {run, prepare, threads, missing_bytes_max, steps, 0};
    struct child_result result;
    struct rng rng = rng_stream(test_seed(), 99);
    size_t samples = test_long() ? 1000 : test_times(20);

    step_require();
    assert_ptr_not_equal(steps, MAP_FAILED);
    child_run(count_steps, &stepped, CHILD_STDERR_SHARED, &result);
    child_assert_exited(&result);
    assert_true(*steps > 100);
    for (size_t i = 0; i < samples; i++) {
        stepped.freeze_after = (i * *steps + rng_below(&rng, *steps)) / samples;
        child_run(freeze_and_work, &stepped, CHILD_STDERR_SHARED, &result);
        if (result.status != 0)
            print_error("frozen after instruction %lu of %lu\n", stepped.freeze_after, *steps);
        child_assert_exited(&result);
    }
}

static void freeze_everywhere(void (*run)(void), void (*prepare)(void), unsigned threads)
{
    freeze_everywhere_missing(run, prepare, threads, MISSING_BYTES_MAX);
}

static void prepare_nothing(void)
{
}

static void prepare_heap(void)
{
    AO_free(AO_malloc(1));
}

static void prepare_mmap(void)
{
    prepare_heap();
    AO_malloc_enable_mmap();
}

static void one_block(void)
{
    AO_free(AO_malloc(1000));
}

TEST(first_call_of_the_process)
{
    freeze_everywhere(one_block, prepare_nothing, 1);
}

TEST(first_calls_of_the_process_in_several_threads)
{
    freeze_everywhere(one_block, prepare_nothing, 3);
}

/* Refills, and frees up to the last of a run. */
static void small_blocks(void)
{
    enum { BLOCKS = 10 };
    void *blocks[BLOCKS];

    for (unsigned i = 0; i < BLOCKS; i++)
        blocks[i] = AO_malloc(1000);
    for (unsigned i = 0; i < BLOCKS; i++)
        AO_free(blocks[i]);
}

TEST(one_thread_with_small_blocks)
{
    freeze_everywhere(small_blocks, prepare_heap, 1);
}

TEST(several_threads_with_small_blocks)
{
    freeze_everywhere(small_blocks, prepare_heap, FROZEN_MAX);
}

static void every_call(void)
{
    void *block = AO_calloc(10, 20);
    void *resized = AO_realloc(block, 1000);
    void *aligned = AO_aligned_alloc(512, 3000);

    AO_free(resized);
    AO_free(aligned);
    AO_free(AO_malloc(30 * KIB));
}

TEST(several_threads_in_every_call)
{
    freeze_everywhere(every_call, prepare_heap, FROZEN_MAX);
}

static void with_mmap(void)
{
    AO_free(AO_malloc(3 * MIB));
    AO_free(AO_malloc(20 * KIB));
}

TEST(several_threads_with_mmap)
{
    freeze_everywhere(with_mmap, prepare_mmap, FROZEN_MAX);
}

static void trim(void)
{
    AO_malloc_trim();
}

static void prepare_garbage(void)
{
    struct chain chain = {0};

    AO_malloc_enable_mmap();
    while (chain.bytes < MIB)
        CHECK(chain_add(&chain, 3000));
    chain_free(&chain);
}

TEST(several_threads_in_trim)
{
    freeze_everywhere_missing(trim, prepare_garbage, 2, MISSING_BYTES_MAX_IN_TRIM);
}
