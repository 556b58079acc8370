/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * A fork at each instruction boundary of each call in each state. The child completes its operations; then either the
 * interrupted call goes on in it, and all is accounted for, or the child never comes back to it, as when another thread
 * forked, and no more is missing than what the call had in its hands.
 */

#include "boundary.h"
#include "canary.h"
#include "exchange.h"
#include "test.h"

#include <stdio.h>
#include <unistd.h>

enum { OPERATIONS = 1000, SLOTS = 64, SECONDS_MAX = 100, SAMPLES = 2, ONE_IN_LONG = 64 };

static _Atomic(void *) slots[SLOTS];
static struct exchange exchange = {.slots = slots, .slot_count = SLOTS, .min_bytes = CANARY_MIN_BYTES, .doublings = 8};

static const struct state *current;

static void work(void)
{
    alarm(SECONDS_MAX);
    state_make_room(current);
    for (unsigned i = 0; i < OPERATIONS / 2; i++) {
        CHECK(exchange_one(&exchange, &boundary_rng));
        exchange_resize(&exchange, &boundary_rng);
    }
    exchange_clear(&exchange);
}

static void after(void)
{
    state_end(current);
    state_assert_whole();
}

static void leave(void)
{
    work();
    struct state_missing missing = state_missing();
    state_assert_missing(current, &missing, 1);
    _exit(0);
}

static void fork_at(struct boundary_plan plan)
{
    plan.state = current;
    plan.samples = SAMPLES;
    plan.ways = 2;
    plan.one_in_long = ONE_IN_LONG;
    boundary_each(&plan);
}

static void fork_in_state(const struct state *state, bool with_breakpoints)
{
    boundary_begin();
    if (!boundary_is_possible(state, with_breakpoints))
        return;
    current = state;
    fork_at((struct boundary_plan){
        .what = "a child that goes on", .way = 0, .at = work, .after = after, .with_breakpoints = with_breakpoints});
    fork_at((struct boundary_plan){
        .what = "a child that leaves the call", .way = 1, .at = leave, .with_breakpoints = with_breakpoints});
    printf("covered: proof=forked extent=%s way=%s call=%s state=%s instructions=%lu boundaries=%lu runs=%lu\n",
           boundary_extent_name(), with_breakpoints ? "breakpoints" : "steps", state->call, state->name,
           tally->boundaries, tally->covered, tally->copies);
}

TEST(forked_in_each_state)
{
    for (size_t i = 0; i < states_count; i++)
        fork_in_state(&states[i], false);
}

TEST(forked_in_states_of_the_variant)
{
    boundary_require_own_states();
    for (size_t i = 0; i < states_of_variant_count; i++) {
        fork_in_state(&states_of_variant[i], false);
        fork_in_state(&states_of_variant[i], true);
    }
    boundary_require_any();
}
