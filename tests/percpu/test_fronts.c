/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* The fronts: what they hold, that all is accounted for, and that what interrupts a section does no harm. */

#define _GNU_SOURCE
#include "percpu.h"

#include "canary.h"
#include "chain.h"
#include "child.h"
#include "rng.h"
#include "step.h"

#include <aomalloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "census.h"
#include "front.h"
#include "segment.h"
#include "transfer.h"

static void move_about(const pthread_t *threads)
{
    static unsigned turn;
    cpu_set_t cpus, all;

    sched_getaffinity(0, sizeof all, &all);
    for (unsigned i = 0; i < EXCHANGE_THREADS; i++) {
        unsigned wanted = (i + turn) % (unsigned)CPU_COUNT(&all);
        unsigned cpu = 0;
        for (; cpu < CPU_SETSIZE; cpu++)
            if (CPU_ISSET(cpu, &all) && wanted-- == 0)
                break;
        CPU_ZERO(&cpus);
        CPU_SET(cpu, &cpus);
        pthread_setaffinity_np(threads[i], sizeof cpus, &cpus);
    }
    turn++;
}

TEST(threads_moved_about)
{
    require_fronts();
    exchange_while(move_about);
}

TEST(threads_moved_about_with_numbers_of_cpus)
{
    inject_old_kernel = 1;
    require_fronts();
    exchange_while(move_about);
}

static void trim(const pthread_t *threads)
{
    (void)threads;
    AO_malloc_trim();
}

TEST(fronts_emptied_under_way)
{
    require_fronts();
    exchange_while(trim);
}

static void trim_and_move(const pthread_t *threads)
{
    AO_malloc_trim();
    move_about(threads);
}

static void give_others_time(enum inject_window window)
{
    (void)window;
    sched_yield();
}

TEST(fronts_emptied_with_every_window_stretched)
{
    require_fronts();
    inject_window = give_others_time;
    exchange_while(trim_and_move);
}

/* What a handler in each window would do. */
static void use_in_window(enum inject_window window)
{
    static _Thread_local unsigned depth;
    void *blocks[40];

    if (depth >= 2)
        return;
    depth++;
    for (unsigned i = 0; i < 40; i++) {
        blocks[i] = AO_malloc(64 + 16 * (unsigned)window);
        CHECK(blocks[i]);
        canary_write(blocks[i], 64, i);
    }
    for (unsigned i = 0; i < 40; i++) {
        CHECK(canary_take(blocks[i]));
        AO_free(blocks[i]);
    }
    if (window == detached)
        AO_malloc_trim();
    depth--;
}

TEST(calls_within_every_window)
{
    require_fronts();
    inject_window = use_in_window;
    exchange_while(trim);
}

/* ---- signals ---- */

static atomic_ulong signals;

static void allocate_in_handler(int number)
{
    static _Thread_local struct rng rng;
    void *blocks[4];

    (void)number;
    rng.state ^= atomic_fetch_add(&signals, 1);
    for (unsigned i = 0; i < 4; i++) {
        size_t size = rng_size(&rng, CANARY_MIN_BYTES, 6);
        blocks[i] = AO_malloc(size);
        CHECK(blocks[i]);
        canary_write(blocks[i], size, i);
    }
    for (unsigned i = 0; i < 4; i++) {
        CHECK(canary_take(blocks[i]));
        AO_free(blocks[i]);
    }
}

static void send_signals(const pthread_t *threads)
{
    for (unsigned i = 0; i < EXCHANGE_THREADS; i++)
        pthread_kill(threads[i], SIGUSR1);
    struct timespec pause = {0, 30000};
    nanosleep(&pause, NULL);
}

TEST(handlers_that_allocate_at_10_khz)
{
    struct sigaction action;

    require_fronts();
    memset(&action, 0, sizeof action);
    action.sa_handler = allocate_in_handler;
    action.sa_flags = SA_RESTART | SA_NODEFER;
    sigaction(SIGUSR1, &action, NULL);
    exchange_while(send_signals);
    CHECK(atomic_load(&signals) > 0);
}

/* ---- one step at a time ---- */

static unsigned long steps;

static bool count_step(void)
{
    steps++;
    return true;
}

/* Each section is aborted; what it should have done must be done otherwise. */
TEST(stepped_calls_end)
{
    enum { BLOCKS = 200 };
    static void *blocks[BLOCKS];

    require_fronts();
    step_require();
    AO_free(AO_malloc(100));
    for (unsigned round = 0; round < 3; round++) {
        step_with(count_step);
        for (unsigned i = 0; i < BLOCKS; i++) {
            step_on();
            blocks[i] = AO_malloc(100);
            step_off();
            CHECK(blocks[i]);
            canary_write(blocks[i], 100, i);
        }
        for (unsigned i = 0; i < BLOCKS; i++) {
            CHECK(canary_take(blocks[i]));
            step_on();
            AO_free(blocks[i]);
            step_off();
        }
        step_with(NULL);
    }
    CHECK(steps > BLOCKS * 20L && steps < BLOCKS * 6L * 5000);
    assert_accounted(0);
}

/* A handler that allocates and frees the same size after each instruction, once per call. */
static unsigned long act_after;

static bool act_once(void)
{
    if (++steps < act_after)
        return true;
    void *block = AO_malloc(100);
    CHECK(block);
    AO_free(block);
    return false;
}

TEST(handler_after_each_instruction)
{
    require_fronts();
    step_require();
    AO_free(AO_malloc(100));
    for (act_after = 1; act_after < 400; act_after++) {
        steps = 0;
        step_with(act_once);
        step_on();
        void *block = AO_malloc(100);
        AO_free(block);
        step_off();
        step_with(NULL);
    }
    assert_accounted(0);
}

/* ---- bounds ---- */

static void free_many(size_t size, size_t bytes)
{
    struct chain chain = {0};

    while (chain.bytes < bytes)
        CHECK(chain_add(&chain, size));
    chain_free(&chain);
}

TEST(fronts_hold_no_more_than_stated)
{
    size_t most = 0;

    require_fronts();
    for (unsigned class = 0; class < AOMA_CLASSES; class ++) {
        free_many(aoma_class_bytes(class), 512 * KIB);
        size_t bytes = bytes_in_fronts();
        most = bytes > most ? bytes : most;
        CHECK(aoma_transfer_count(class) <= (size_t)AOMA_TRANSFER_PLACES * aoma_front_batch(class));
    }
    CHECK(most > 0);
    assert_accounted(0);
}

/* What is freed in random order leaves few runs that a cached block keeps from being free. */
TEST(fronts_let_go_when_a_program_shrinks)
{
    enum { BYTES = 24 * MIB };
    static const size_t sizes[] = {32, 200, 1024, 4096};
    static void *blocks[BYTES / 32];
    struct rng rng = {1};

    require_fronts();
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t count = BYTES / sizes[i];
        struct aoma_census census;

        for (size_t n = 0; n < count; n++) {
            blocks[n] = AO_malloc(sizes[i]);
            CHECK(blocks[n]);
        }
        for (size_t n = count; n > 0; n--) {
            size_t other = rng_below(&rng, n);
            AO_free(blocks[other]);
            blocks[other] = blocks[n - 1];
        }
        CHECK(aoma_fronts_count() > 0);
        aoma_census_count(&census);
        CHECK(census.chunks_taken * AOMA_CHUNK_BYTES <= BYTES / 8);
        CHECK(aoma_segment_dirty_free_bytes() <= 8 * MIB);
    }
    assert_accounted(0);
}

TEST(no_front_when_the_limit_says_no)
{
    AO_malloc_enable_mmap();
    AO_malloc_set_limit(0);
    void *block = AO_malloc(100);
    CHECK(block);
    AO_free(block);
    CHECK(aoma_fronts_count() == 0);
}

/* Everything that fronts hold can be had before NULL is returned. */
TEST(nothing_is_stranded_at_the_limit)
{
    struct chain chain = {0};

    require_fronts();
    AO_malloc_set_limit(8 * MIB);
    chain_exhaust(&chain, 1000);
    size_t bytes = chain.bytes;
    chain_free(&chain);
    for (unsigned round = 0; round < 3; round++) {
        free_many(500, 4 * MIB);
        free_many(100, 4 * MIB);
        chain_exhaust(&chain, 1000);
        CHECK(chain.bytes >= bytes / 100 * 95);
        chain_free(&chain);
    }
}

/* ---- second frees ---- */

static void *freed;

static void free_again(void *argument)
{
    (void)argument;
    AO_free(opaque_pointer(freed));
}

static void ask_size(void *argument)
{
    (void)argument;
    (void)AO_malloc_usable_size(opaque_pointer(freed));
}

static void assert_refused(void (*call)(void *), const char *name)
{
    struct child_result result;

    child_run(call, NULL, CHILD_STDERR_CAPTURED, &result);
    CHECK(WIFSIGNALED(result.status) && WTERMSIG(result.status) == SIGABRT);
    CHECK(strstr(result.output, name) && strstr(result.output, "freed already"));
}

static void assert_refused_everywhere(void)
{
    assert_refused(free_again, "AO_free(");
    assert_refused(ask_size, "AO_malloc_usable_size(");
}

TEST(second_free_of_what_lies_in_the_front)
{
    require_fronts();
    freed = AO_malloc(100);
    AO_free(freed);
    assert_refused_everywhere();
}

TEST(second_free_of_what_lies_below_others)
{
    require_fronts();
    freed = AO_malloc(100);
    void *others[5];
    for (unsigned i = 0; i < 5; i++)
        others[i] = AO_malloc(100);
    AO_free(freed);
    for (unsigned i = 0; i < 5; i++)
        AO_free(others[i]);
    assert_refused_everywhere();
}

static void second_free_after(size_t blocks)
{
    static void *others[20000];

    require_fronts();
    freed = AO_malloc(100);
    for (size_t i = 0; i < blocks; i++)
        others[i] = AO_malloc(100);
    AO_free(freed);
    for (size_t i = 0; i < blocks; i++)
        AO_free(others[i]);
    assert_refused_everywhere();
}

/* The first free's block has moved to a transfer place, or further to its run. */
TEST(second_free_of_what_lies_in_a_transfer_place)
{
    second_free_after(500);
}

TEST(second_free_of_what_is_back_in_its_run)
{
    second_free_after(20000);
}

/* The last block of the run that a first block comes from: too far for the batch that came with it. */
TEST(free_of_what_was_never_handed_out)
{
    require_fronts();
    char *block = AO_malloc(1024);
    const struct aoma_run *run = (const struct aoma_run *)aoma_ptr_load_acquire(aoma_run_hint((uintptr_t)block));
    CHECK((uintptr_t)block - run->base < 32 * KIB);
    freed = (void *)(run->base + aoma_hint_get(&run->blocks_bytes) - 1024);
    CHECK((uintptr_t)freed - run->base >= 60 * KIB);
    assert_refused(free_again, "AO_free(");
}

/* A block that bears the mark but is in use is a good one. */
TEST(mark_alone_is_no_fault)
{
    require_fronts();
    for (unsigned i = 0; i < 100; i++) {
        void *block = AO_malloc(100);
        aoma_front_mark(block);
        AO_free(block);
    }
    assert_accounted(0);
}
