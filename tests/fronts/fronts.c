/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

#include "fronts.h"

#include <aomalloc.h>
#include <string.h>

#include "canary.h"
#include "exchange.h"
#include "step.h"

#include "census.h"
#include "owner.h"

unsigned (*inject_number)(unsigned number);
void (*inject_window)(enum inject_window window);
int inject_old_kernel;

void (*exchange_before)(uintptr_t thread);

void require_fronts(void)
{
    AO_malloc_enable_mmap();
    if (strcmp(AO_malloc_mode(), TEST_FRONTS_MODE) != 0)
        test_skip(AO_malloc_mode());
}

void require_fronts_given_up(void)
{
    require_fronts();
#ifndef __GLIBC__
    test_skip("with this C library nobody tells of threads' ends");
#endif
}

size_t blocks_out(void)
{
    struct aoma_census census;

    aoma_census_take(&census);
    CHECK(census.chunks_taken == census.chunks_in_runs);
    CHECK(census.blocks >= census.blocks_free + aoma_fronts_count());
    return census.blocks - census.blocks_free - aoma_fronts_count();
}

void assert_accounted(size_t out)
{
    CHECK(blocks_out() == out);
    aoma_fronts_drain();
    CHECK(aoma_fronts_count() == 0);
    CHECK(blocks_out() == out);
}

static size_t bytes_in_front(const struct aoma_front *front)
{
    size_t bytes = 0;

    for (unsigned i = 0; i < AOMA_FRONT_STACKS; i++) {
        unsigned count = aoma_front_held(front, i);
        CHECK(front->stack[i].end - front->stack[i].bottom <= (int)aoma_front_slots(i));
        CHECK(count <= aoma_front_slots(i));
        bytes += count ? count * (size_t)aoma_class_bytes(aoma_front_class(i)) : 0;
    }
    CHECK(bytes <= AOMA_FRONT_BYTES_MAX);
    return bytes;
}

size_t bytes_in_fronts(void)
{
    size_t bytes = 0;

    for (unsigned number = 0; number < AOMA_NUMBERS; number++) {
        const struct aoma_front *front = aoma_front_attached(number);
        bytes += front ? bytes_in_front(front) : 0;
    }
    return bytes;
}

enum { SLOTS = 512 };

static _Atomic(void *) slots[SLOTS];
static struct exchange exchange = {.slots = slots, .slot_count = SLOTS, .min_bytes = CANARY_MIN_BYTES, .doublings = 9};
static atomic_bool stop;

static void *exchange_until_stopped(void *argument)
{
    uintptr_t number = (uintptr_t)argument;
    struct rng rng = rng_stream(test_seed(), number + 1);

    while (!atomic_load(&stop)) {
        if (exchange_before)
            exchange_before(number);
        exchange_one(&exchange, &rng);
        exchange_resize(&exchange, &rng);
    }
    return NULL;
}

void exchange_while(void (*disturb)(const pthread_t *threads))
{
    pthread_t threads[EXCHANGE_THREADS];
    uint64_t deadline = test_deadline_ns();

    for (size_t i = 0; i < EXCHANGE_THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, exchange_until_stopped, (void *)i) == 0);
    do
        disturb(threads);
    while (!test_passed(deadline));
    atomic_store(&stop, true);
    for (size_t i = 0; i < EXCHANGE_THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    inject_window = NULL; /* what it does in the windows of emptying would fill them again */
    size_t live = 0;
    for (size_t i = 0; i < SLOTS; i++)
        live += slots[i] != NULL;
    assert_accounted(live);
    exchange_clear(&exchange);
    assert_accounted(0);
}

void step_through_calls(void)
{
    static void *blocks[STEPPED_BLOCKS];

    for (unsigned i = 0; i < STEPPED_BLOCKS; i++) {
        step_on();
        blocks[i] = AO_malloc(100);
        step_off();
        CHECK(blocks[i]);
        canary_write(blocks[i], 100, i);
    }
    for (unsigned i = 0; i < STEPPED_BLOCKS; i++) {
        CHECK(canary_take(blocks[i]));
        step_on();
        AO_free(blocks[i]);
        step_off();
    }
}

static unsigned long steps, act_after;
static void (*action)(void);

static bool act_once(void)
{
    if (++steps < act_after)
        return true;
    action();
    return false;
}

void act_after_each_step(void (*act)(void))
{
    enum { STEPS = 400 };

    action = act;
    for (act_after = 1; act_after < STEPS; act_after++) {
        steps = 0;
        step_with(act_once);
        step_on();
        void *block = AO_malloc(100);
        AO_free(block);
        step_off();
        step_with(NULL);
    }
}

void take_and_free(struct rng *rng, unsigned count, unsigned doublings)
{
    void *blocks[TAKEN_MAX];

    CHECK(count <= TAKEN_MAX);
    for (unsigned i = 0; i < count; i++) {
        size_t size = rng_size(rng, CANARY_MIN_BYTES, doublings);
        blocks[i] = AO_malloc(size);
        CHECK(blocks[i]);
        canary_write(blocks[i], size, i);
    }
    for (unsigned i = 0; i < count; i++) {
        CHECK(canary_take(blocks[i]));
        AO_free(blocks[i]);
    }
}
