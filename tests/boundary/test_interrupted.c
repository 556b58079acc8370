/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * A handler at each instruction boundary of each call in each state, for several handlers, which allocate and free
 * themselves; for some, another handler interrupts the handler. Then the call goes on, all is freed, and every block,
 * chunk and mapping must be accounted for. Counted besides: what a call takes, with what a handler made it repeat.
 */

#include "boundary.h"
#include "canary.h"
#include "step.h"
#include "test.h"

#include <aomalloc.h>

#include <stdio.h>
#include <string.h>

enum { KEPT_MAX = 64, RUN_BLOCKS = 100, USED_MAX = 512, STEPS_ABOUT = 600, PAIR_ONE_IN = 4, ONE_IN_LONG = 8 };

/* Of each state. */
enum { FEW_SAMPLES = 4, SOME_SAMPLES = 20, SAMPLES_OF_HANDLERS = 2 };

/* By handlers, until the call is over. */
static void *kept[KEPT_MAX];
static size_t kept_count;

static const struct state *current;

/* ---- what handlers do: each of their calls may be stepped through in turn ---- */

static void *allocate(size_t size)
{
    step_on();
    void *block = AO_malloc(size);
    step_off();
    if (block)
        canary_write(block, size, kept_count);
    return block;
}

static void release(void *block)
{
    CHECK(!block || canary_take(block));
    step_on();
    AO_free(block);
    step_off();
}

static void keep(void *block)
{
    CHECK(kept_count < KEPT_MAX);
    kept[kept_count++] = block;
}

static void same_class(void)
{
    release(allocate(STATE_BYTES));
}

static void other_class(void)
{
    release(allocate(40));
    release(allocate(5000));
}

static void large(void)
{
    release(allocate(STATE_LARGE_BYTES));
}

/* What the call has read is there again, and is another's. */
static void provoke_aba(void)
{
    void *first = allocate(STATE_BYTES);
    void *second = allocate(STATE_BYTES);

    release(first);
    keep(second);
}

/* Runs become full and empty. */
static void use_a_run(void)
{
    static void *blocks[2][RUN_BLOCKS];
    static unsigned depth;
    void **own = blocks[depth++];

    for (unsigned i = 0; i < RUN_BLOCKS; i++)
        own[i] = allocate(STATE_BYTES);
    for (unsigned i = 0; i < RUN_BLOCKS; i++)
        release(own[i]);
    depth--;
}

/* Frees all that is in use besides: the last of their runs, and the first. */
static void free_held(void)
{
    while (held_count > 0)
        release(held[--held_count]);
}

/* Takes all there is, and keeps a block of it. */
static void use_all(void)
{
    static void *blocks[2][USED_MAX];
    static unsigned depth;
    void **own = blocks[depth++];
    size_t count = 0;

    state_memory_was_short = true;
    AO_malloc_set_limit(0);
    while (count < USED_MAX && (own[count] = allocate(16000)))
        count++;
    keep(allocate(STATE_BYTES));
    while (count > 0)
        release(own[--count]);
    AO_malloc_set_limit(SIZE_MAX);
    depth--;
}

static void trim(void)
{
    step_on();
    AO_malloc_trim();
    step_off();
}

static void mapping(void)
{
    release(allocate(3 * MIB));
}

static const struct handler {
    const char *name;
    void (*run)(void);
    bool needs_mmap;
} handlers[] = {
    {"same_class", same_class, false}, {"other_class", other_class, false},
    {"large", large, false},           {"aba", provoke_aba, false},
    {"run", use_a_run, false},         {"free_held", free_held, false},
    {"all", use_all, false},           {"trim", trim, true},
    {"mapping", mapping, true},
};
enum { HANDLERS = sizeof handlers / sizeof handlers[0], SHORT_HANDLERS = 4, ABA = 3 };

/* NULL: each time another. */
static const struct handler *chosen;

static void inner(void)
{
    tally->pairs++;
    tally->handlers++;
    handlers[rng_below(&boundary_rng, SHORT_HANDLERS)].run();
}

static bool is_possible(const struct handler *handler)
{
    return !handler->needs_mmap || current->needs != STATIC_HEAP;
}

static const struct handler *any_handler(void)
{
    const struct handler *handler;

    do
        handler = &handlers[rng_below(&boundary_rng, HANDLERS)];
    while (!is_possible(handler));
    return handler;
}

static void at(void)
{
    const struct handler *handler = chosen ? chosen : any_handler();

    tally->what = handler->name;
    tally->handlers++;
    if (rng_below(&boundary_rng, PAIR_ONE_IN) == 0)
        boundary_interrupted_within(handler->run, inner, STEPS_ABOUT);
    else
        handler->run();
}

static void after(void)
{
    state_end(current);
    while (kept_count > 0)
        release(kept[--kept_count]);
    state_assert_whole();
}

static void report(const char *way)
{
    printf("covered: proof=interrupted extent=%s way=%s call=%s state=%s instructions=%lu in_sections=%lu "
           "boundaries=%lu runs=%lu "
           "handlers=%lu pairs=%lu not_hit=%lu\n",
           boundary_extent_name(), way, current->call, current->name, tally->boundaries, tally->in_sections,
           tally->covered, tally->copies, tally->handlers, tally->pairs, tally->not_hit);
    if (tally->calls_counted)
        printf("work: call=%s state=%s calls=%lu most=%lu most_with_system_call=%lu\n", current->call, current->name,
               tally->calls_counted, tally->work, tally->work_with_system);
}

static void interrupt_by(const struct handler *handler, unsigned samples, bool with_breakpoints)
{
    chosen = handler;
    boundary_each(&(struct boundary_plan){
        .state = current,
        .what = "a handler",
        .samples = samples,
        .ways = 1,
        .one_in_long = ONE_IN_LONG,
        .at = at,
        .after = after,
        .with_breakpoints = with_breakpoints,
        .whole_sections = with_breakpoints,
    });
}

static void prepare_one_block(void)
{
    state_hold(STATE_BYTES);
}

static void interrupt_in_state(const struct state *state, bool with_breakpoints)
{
    boundary_begin();
    current = state;
    if (!boundary_is_possible(state, with_breakpoints))
        return;
    if (boundary_extent() == BOUNDARY_ALL) {
        for (unsigned i = 0; i < HANDLERS; i++)
            if (is_possible(&handlers[i]))
                interrupt_by(&handlers[i], 0, with_breakpoints);
    } else {
        interrupt_by(NULL, boundary_extent() == BOUNDARY_FEW ? FEW_SAMPLES : SOME_SAMPLES, with_breakpoints);
        if (with_breakpoints)
            interrupt_by(&handlers[ABA], 0, true); /* what a section that is not aborted would not survive */
    }
    if (with_breakpoints && strcmp(AO_malloc_variant(), "percpu") == 0 && current->call_it != state_trim)
        CHECK(tally->in_sections > 0);
    report(with_breakpoints ? "breakpoints" : "steps");
}

TEST(interrupted_in_each_state)
{
    for (size_t i = 0; i < states_count; i++)
        interrupt_in_state(&states[i], false);
}

TEST(interrupted_in_states_of_the_variant)
{
    boundary_require_own_states();
    for (size_t i = 0; i < states_of_variant_count; i++)
        interrupt_in_state(&states_of_variant[i], false);
    boundary_require_any();
}

TEST(interrupted_where_no_section_is_aborted)
{
    boundary_require_own_states();
    for (size_t i = 0; i < states_of_variant_count; i++)
        interrupt_in_state(&states_of_variant[i], true);
    boundary_require_any();
}

/* Here both the first handler's place and the second's are all that there are. */
TEST(each_handler_in_each_handler)
{
    struct state state = {"handler", NULL, prepare_one_block, NULL, STATIC_HEAP, 0, 0};

    for (unsigned i = 0; i < SHORT_HANDLERS; i++) {
        boundary_begin();
        current = &state;
        state.name = handlers[i].name;
        state.call_it = handlers[i].run;
        CHECK(boundary_is_possible(&state, false));
        for (unsigned n = 0; n < SHORT_HANDLERS; n++)
            interrupt_by(&handlers[n], SAMPLES_OF_HANDLERS, false);
        report("steps");
    }
}
