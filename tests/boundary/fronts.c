/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* What calls find in fronts. In variant percpu that of one CPU is meant, so the process stays there. */

#define _GNU_SOURCE
#include "state.h"
#include "test.h"

#include <aomalloc.h>

#include <sched.h>

#include "heaps.h"
#include "owner.h"
#include "size_class.h"
#include "transfer.h"

static unsigned class_of_state(void)
{
    return aoma_class_of(STATE_BYTES);
}

static void stay_here(void)
{
    cpu_set_t cpu;

    CPU_ZERO(&cpu);
    CPU_SET((size_t)sched_getcpu(), &cpu);
    CHECK(sched_setaffinity(0, sizeof cpu, &cpu) == 0);
}

static const struct aoma_front_stack *stack_here(void)
{
    const struct aoma_front *front = aoma_front_here();

    CHECK(front);
    return &front->stack[class_of_state()];
}

static unsigned in_front(void)
{
    return aoma_front_held(aoma_front_here(), class_of_state());
}

static void front_is_made(void)
{
    stay_here();
    state_hold(STATE_BYTES);
}

static void blocks_in_front(void)
{
    front_is_made();
    state_hold_many(STATE_BYTES, 4);
    subject = state_allocate(STATE_BYTES);
    while (held_count > 2)
        state_release(held[--held_count]);
    CHECK(in_front() >= 2 && stack_here()->top < stack_here()->end);
}

static void nothing_in_front(void)
{
    front_is_made();
    while (in_front() > 0 || aoma_transfer_count(class_of_state()) > 0)
        state_hold(STATE_BYTES);
}

/* The next batch comes from a transfer place. */
static void batch_in_a_place(void)
{
    struct aoma_transfer place;
    unsigned class = class_of_state();

    nothing_in_front();
    CHECK(aoma_transfer_take_room(class, &place) && place.count == 0);
    place.count = aoma_heaps_take_batch(class, place.blocks, aoma_front_batch(class));
    CHECK(place.count > 0);
    aoma_transfer_put(&place);
}

/* Frees until the next block finds no room. */
static void fill_front(void)
{
    while (stack_here()->top < stack_here()->end) {
        CHECK(held_count > 2);
        state_release(held[--held_count]);
    }
    subject = held[--held_count];
}

static void front_full(void)
{
    front_is_made();
    state_hold_many(STATE_BYTES, aoma_front_cap(class_of_state()) + 4u);
    fill_front();
}

/* And no place for a batch: one goes back to its runs. */
static void front_and_places_full(void)
{
    unsigned class = class_of_state();
    size_t blocks = aoma_front_cap(class) + (AOMA_TRANSFER_PLACES + 1u) * aoma_front_batch(class);
    size_t full = (size_t)AOMA_TRANSFER_PLACES * aoma_front_batch(class);

    front_is_made();
    state_hold_many(STATE_BYTES, blocks);
    while (aoma_transfer_count(class) < full) {
        CHECK(held_count > 2);
        state_release(held[--held_count]);
    }
    fill_front();
}

/*
 * Who empties a front has what was in it: what is left of a batch, and blocks that were freed. In perthread who is in
 * the middle of a stack has that, and perhaps a batch.
 */
enum {
    IN_FRONTS_MAX = 2 * AOMA_FRONT_BATCH_MAX,
    IN_STACK_MAX = TEST_FRONTS_HAVE_CLAIMS ? (int)AOMA_FRONT_CAP(STATE_BYTES) + 2 * (int)AOMA_FRONT_BATCH_MAX : 0,
};

const struct state states_of_variant[] = {
    {"AO_malloc", "front", blocks_in_front, state_malloc, FRONTS, IN_STACK_MAX, 0},
    {"AO_malloc", "front_empty", nothing_in_front, state_malloc, FRONTS, IN_STACK_MAX, 0},
    {"AO_malloc", "front_empty_batch_in_a_place", batch_in_a_place, state_malloc, FRONTS, IN_STACK_MAX, 0},
    {"AO_free", "front", blocks_in_front, state_free, FRONTS, IN_STACK_MAX, 0},
    {"AO_free", "front_full", front_full, state_free, FRONTS, IN_STACK_MAX, 0},
    {"AO_free", "front_and_places_full", front_and_places_full, state_free, FRONTS, IN_STACK_MAX, 0},
    {"AO_malloc_trim", "front", blocks_in_front, state_trim, FRONTS, IN_FRONTS_MAX, 64},
};
const size_t states_of_variant_count = sizeof states_of_variant / sizeof states_of_variant[0];
