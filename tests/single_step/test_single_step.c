/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * A handler runs between any two instructions of AO_ calls in the states below, and allocates and frees itself: the
 * very size that is in the making, and others. No window between two instructions is left to luck.
 *
 * Lock-free means that a call may have to try again each time that a handler changed what it had read, so a handler
 * after every instruction without end could hold it up for ever. Hence two ways: once, after the k-th instruction, for
 * every k; and in bursts with pauses between.
 */

#include "canary.h"
#include "chain.h"
#include "child.h"
#include "exchange.h"
#include "step.h"
#include "test.h"
#include "whole.h"

#include <aomalloc.h>

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SLOTS = 64, BLOCKS_OF_RUN = 100, HELD = 100, REPLACED = 3 * BLOCKS_OF_RUN, EXIT_NO_ACTION = 99 };

static _Atomic(void *) slots[SLOTS];
static struct exchange exchange = {.slots = slots, .slot_count = SLOTS, .min_bytes = CANARY_MIN_BYTES, .doublings = 8};
static struct rng rng;
static size_t step_bytes = 100;

/* ---- with what is in front of the heaps ---- */

/* AOMALLOC_TEST_FRONTS=1, for variants with fronts: mmap is enabled, but whoever wants all that is free gets there
 * soon. */
static bool with_fronts(void)
{
    return getenv("AOMALLOC_TEST_FRONTS") != NULL;
}

static void enable_fronts(void)
{
    AO_malloc_enable_mmap();
    AO_malloc_set_limit(6 * MIB);
}

static void begin(void)
{
    step_require();
    if (!with_fronts()) {
        whole_measure();
        return;
    }
    enable_fronts();
    if (strncmp(AO_malloc_mode(), "cas", 3) == 0)
        test_skip(AO_malloc_mode());
    AO_free(AO_malloc(step_bytes)); /* makes the front */
}

/* ---- when the handler acts ---- */

static void (*action)(void);
static unsigned long steps, actions;

/* The one way: after this step. */
static unsigned long act_after;

static bool act_once(void)
{
    if (++steps < act_after)
        return true;
    actions++;
    action();
    return false;
}

/* The other way: what is left of the present burst and of the pause that follows. */
static unsigned long acting, resting;

enum { BURST_STEPS_MAX = 32, REST_STEPS_MAX = 300 };

static unsigned long steps_max;

static bool act_in_bursts(void)
{
    steps++;
    if (acting > 0) {
        acting--;
        actions++;
        action();
    } else if (resting > 0) {
        resting--;
    } else {
        acting = 1 + rng_below(&rng, BURST_STEPS_MAX);
        resting = 1 + rng_below(&rng, REST_STEPS_MAX);
    }
    return steps < steps_max;
}

/* ---- what it does ---- */

static void *mark(void *block, size_t size)
{
    if (block)
        canary_write(block, size, rng_mix(size + actions));
    return block;
}

static void *allocate(size_t size)
{
    return mark(AO_malloc(size), size);
}

static void release(void *block)
{
    CHECK(!block || canary_take(block));
    AO_free(block);
}

/* The same size, and one block of any size that replaces an older one. */
static void use_a_little(void)
{
    void *block = allocate(step_bytes);

    exchange_one(&exchange, &rng);
    release(block);
}

/* More blocks than a run has: it becomes full and empty again under the interrupted call. */
static void use_a_run(void)
{
    static void *blocks[BLOCKS_OF_RUN];

    for (unsigned i = 0; i < BLOCKS_OF_RUN; i++)
        blocks[i] = allocate(step_bytes);
    for (unsigned i = 0; i < BLOCKS_OF_RUN; i++)
        release(blocks[i]);
}

/* Everything that is free: the interrupted call must cope, and so must the next handler. */
static void use_all(void)
{
    struct chain chain = {0};

    chain_exhaust(&chain, 16000);
    chain_free(&chain);
}

/* Handlers that only take, until all is gone or enough, then only give back. */
static void *taken[256];
static size_t taken_count;

static void take_then_give(void)
{
    static bool giving;

    if (giving && taken_count > 0)
        release(taken[--taken_count]);
    else if (taken_count < sizeof taken / sizeof taken[0] && (taken[taken_count] = allocate(step_bytes)))
        taken_count++;
    giving = taken_count == 0 ? false : taken_count == sizeof taken / sizeof taken[0] ? true : giving;
}

static void *replaced[REPLACED];

/* When all is freed, what handlers have left too, nothing may be missing. */
static void end(void)
{
    for (size_t i = 0; i < REPLACED; i++) {
        release(replaced[i]);
        replaced[i] = NULL;
    }
    while (taken_count > 0)
        release(taken[--taken_count]);
    exchange_clear(&exchange);
    if (!with_fronts())
        whole_assert();
}

static void (*const handlers[])(void) = {use_a_little, use_a_run, use_all, take_then_give};

/* ---- calls that are stepped through; what surrounds them runs at full speed ---- */

static void *stepped_malloc(size_t size)
{
    step_on();
    void *block = AO_malloc(size);
    step_off();
    return mark(block, size);
}

static void stepped_free(void *block)
{
    CHECK(!block || canary_take(block));
    step_on();
    AO_free(block);
    step_off();
}

static void *stepped_calloc(size_t size)
{
    step_on();
    unsigned char *block = AO_calloc(1, size);
    step_off();
    for (size_t i = 0; block && i < size; i++)
        CHECK(block[i] == 0);
    return mark(block, size);
}

static void *stepped_realloc(void *block, size_t size)
{
    CHECK(!block || canary_is_whole(block));
    step_on();
    void *resized = AO_realloc(block, size);
    step_off();
    /*
     * The old size is in the block, and the old pattern depends on the old address: only a new one can be checked on.
     */
    return resized ? mark(resized, size) : block;
}

static void *stepped_aligned_alloc(size_t alignment, size_t size)
{
    step_on();
    void *block = opaque_pointer(AO_aligned_alloc(alignment, size));
    step_off();
    CHECK((uintptr_t)block % alignment == 0);
    CHECK(AO_malloc_usable_size(block) >= (block ? size : 0));
    return mark(block, size);
}

static void in_bursts(void (*run)(void), void (*what)(void))
{
    rng = rng_stream(test_seed(), 1);
    action = what;
    actions = steps = 0;
    steps_max = test_long() ? ULONG_MAX : test_times(30000);
    step_with(act_in_bursts);
    run();
    step_with(NULL);
    assert_true(actions > 0);
}

/*
 * Time grows with the square of the length: of long sequences each run tries other instructions, usually up to 4 %
 * apart.
 */
static unsigned long next_distance(void)
{
    return test_long() ? 1 : 1 + rng_below(&rng, 1 + act_after / test_times(25));
}

static void once_after_each(void (*run)(void), void (*what)(void))
{
    rng = rng_stream(test_seed(), 2);
    action = what;
    act_after = 1;
    do {
        actions = steps = 0;
        step_with(act_once);
        run();
        act_after += next_distance();
    } while (actions > 0);
    step_with(NULL);
    /* Any call takes more than what switches the stepping on and off. */
    assert_true(act_after > 20);
}

static void with_each_handler(void (*how)(void (*)(void), void (*)(void)), void (*run)(void))
{
    begin();
    for (size_t i = 0; i < sizeof handlers / sizeof handlers[0]; i++)
        how(run, handlers[i]);
    end();
}

/* ---- the states ---- */

/* The very first calls of a process: a new process for each instruction after which a handler runs. */
static void first_calls(void *argument)
{
    (void)argument;
    if (with_fronts())
        enable_fronts();
    steps = actions = 0;
    step_with(act_once);
    void *block = stepped_malloc(step_bytes);
    CHECK(block != NULL);
    release(block);
    exchange_clear(&exchange);
    if (actions == 0)
        _exit(EXIT_NO_ACTION);
}

static void after_first_steps(void (*what)(void))
{
    unsigned long stride = test_long() ? 1 : with_fronts() ? 3000 : 200; /* a front to be made takes long */
    struct child_result result;

    step_require();
    rng = rng_stream(test_seed(), 3);
    action = what;
    act_after = 1 + rng_below(&rng, stride);
    for (;; act_after += 1 + rng_below(&rng, 2 * stride - 1)) {
        child_run(first_calls, NULL, CHILD_STDERR_SHARED, &result);
        if (WIFEXITED(result.status) && WEXITSTATUS(result.status) == EXIT_NO_ACTION)
            break;
        child_assert_exited(&result);
    }
    assert_true(act_after > 20);
}

TEST(first_calls_and_a_handler_that_uses_a_little)
{
    after_first_steps(use_a_little);
}

TEST(first_calls_and_a_handler_that_uses_all)
{
    after_first_steps(use_all);
}

static void fill_and_empty(void)
{
    void *held[HELD];

    for (size_t i = 0; i < HELD; i++)
        held[i] = stepped_malloc(step_bytes);
    for (size_t i = 0; i < HELD; i++)
        stepped_free(held[i]);
}

TEST(runs_filled_and_emptied)
{
    with_each_handler(in_bursts, fill_and_empty);
}

TEST(runs_of_few_blocks_filled_and_emptied)
{
    step_bytes = 3000;
    with_each_handler(in_bursts, fill_and_empty);
}

/* The last block of a run, alone: taken, and given back so that the run is empty. */
static void one_block(void)
{
    stepped_free(stepped_malloc(step_bytes));
}

TEST(last_block_of_a_run)
{
    with_each_handler(once_after_each, one_block);
}

TEST(last_block_of_a_run_of_few)
{
    step_bytes = 60000;
    with_each_handler(once_after_each, one_block);
}

/* A block leaves a full run and another takes its place. */
static void replace_one(void)
{
    static size_t at;

    if (!replaced[at])
        for (size_t i = 0; i < REPLACED; i++)
            replaced[i] = allocate(step_bytes);
    stepped_free(replaced[at]);
    replaced[at] = stepped_malloc(step_bytes);
    at = (at + 37) % REPLACED;
}

TEST(block_replaced_in_full_runs)
{
    with_each_handler(once_after_each, replace_one);
}

static void every_call(void)
{
    void *block = stepped_calloc(step_bytes);
    block = stepped_realloc(block, step_bytes * 5);
    block = stepped_realloc(block, step_bytes);
    void *aligned = stepped_aligned_alloc(256, step_bytes);
    stepped_free(block);
    stepped_free(aligned);
}

TEST(calloc_realloc_and_aligned_alloc)
{
    with_each_handler(once_after_each, every_call);
}

static void large_block(void)
{
    stepped_free(stepped_malloc(100 * KIB));
}

TEST(block_of_many_chunks)
{
    begin();
    step_bytes = 100 * KIB;
    once_after_each(large_block, use_a_little);
    once_after_each(large_block, use_all);
    end();
}

static void spanning_block(void)
{
    stepped_free(stepped_malloc(600 * KIB));
}

TEST(block_of_several_segments)
{
    begin();
    step_bytes = 20000;
    in_bursts(spanning_block, use_a_little);
    in_bursts(spanning_block, use_all);
    end();
}

/* Failing must not lose or invent anything either. */
TEST(exhausted_heap)
{
    struct chain chain = {0};

    begin();
    chain_exhaust(&chain, 4000);
    in_bursts(one_block, use_a_little);
    in_bursts(one_block, take_then_give);
    in_bursts(fill_and_empty, take_then_give);
    chain_free(&chain);
    end();
}

static void mapping(void)
{
    void *block = stepped_malloc(3 * MIB);
    CHECK(block != NULL);
    stepped_free(stepped_realloc(block, 2 * MIB));
}

static void use_a_mapping(void)
{
    release(allocate(3 * MIB));
}

TEST(own_mappings)
{
    begin();
    AO_malloc_enable_mmap();
    once_after_each(mapping, use_a_mapping);
    in_bursts(mapping, use_a_little);
    exchange_clear(&exchange);
}

static void trim(void)
{
    step_on();
    AO_malloc_trim();
    step_off();
}

static void trim_and_use(void)
{
    AO_malloc_trim();
    use_a_little();
}

TEST(trim_stepped_through_and_trim_in_handlers)
{
    struct chain chain = {0};

    begin();
    AO_malloc_enable_mmap();
    while (chain.bytes < 3 * MIB)
        CHECK(chain_add(&chain, 3000));
    chain_free(&chain);
    in_bursts(trim, use_a_little);
    in_bursts(fill_and_empty, trim_and_use);
    exchange_clear(&exchange);
}

/* Each block takes more than what is left in the segments there are. */
static void grow(void)
{
    enum { BLOCKS = 8 };
    void *blocks[BLOCKS];

    for (unsigned i = 0; i < BLOCKS; i++) {
        blocks[i] = stepped_malloc(250 * KIB);
        CHECK(blocks[i] != NULL);
    }
    for (unsigned i = 0; i < BLOCKS; i++)
        stepped_free(blocks[i]);
}

TEST(heap_that_grows_by_mmap)
{
    struct chain chain = {0};

    begin();
    chain_exhaust(&chain, 4000);
    AO_malloc_enable_mmap();
    in_bursts(grow, use_a_little);
    chain_free(&chain);
    exchange_clear(&exchange);
}

static _Alignas(8192) unsigned char region[MIB];

static void add_region(void)
{
    step_on();
    int result = AO_malloc_add_region(region, sizeof region);
    step_off();
    CHECK(result == 0);
}

TEST(region_added)
{
    begin();
    in_bursts(add_region, use_a_little);
    exchange_clear(&exchange);
}
