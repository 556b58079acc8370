/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

#define _GNU_SOURCE
#include "boundary.h"
#include "breakpoint.h"
#include "child.h"
#include "step.h"
#include "test.h"

#include <aomalloc.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Where more than so many instructions are left in a copy, one in so many is counted to the end. */
enum { COUNTED_MAX = 500, COUNTED_ONE_IN = 64, EXIT_NOT_HIT = 98, TRIES_OF_SECTIONS = 20 };

/* A longer call is not among a few: its steps alone take more time than all else. Most are in loops there. */
enum { STEPS_OF_LONG_MIN = 8000 };

struct boundary_tally *tally;
struct rng boundary_rng;

static const struct boundary_plan *plan;
static bool in_copy;
static unsigned long position, own_steps;
static unsigned long always; /* of samples, a position that is one of them */
static bool was_possible;
static struct breakpoints *breakpoints;

static unsigned thinned; /* the plan's one_in_long, where that is what is tried; else 1 */

static const char *const extent_names[] = {"few", "some", "each", "all"};

enum boundary_extent boundary_extent(void)
{
    const char *wanted = getenv("AOMALLOC_TEST_BOUNDARIES");

    if (!wanted)
        return test_long() ? BOUNDARY_SOME : BOUNDARY_FEW;
    for (enum boundary_extent extent = BOUNDARY_FEW; extent <= BOUNDARY_ALL; extent++)
        if (strcmp(wanted, extent_names[extent]) == 0)
            return extent;
    test_fail(__FILE__, __LINE__, "AOMALLOC_TEST_BOUNDARIES is neither few, some, each nor all");
}

const char *boundary_extent_name(void)
{
    static char name[32];

    if (thinned <= 1)
        return extent_names[boundary_extent()];
    snprintf(name, sizeof name, "1_in_%u", thinned);
    return name;
}

void *boundary_share(size_t bytes)
{
    void *shared = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    CHECK(shared != MAP_FAILED);
    return shared;
}

static bool count_step(void)
{
    own_steps++;
    return true;
}

static void step_through(bool (*on_step)(void), void (*call)(void))
{
    step_with(on_step);
    call();
    step_with(NULL);
}

/* What step_on() and step_off() take themselves. */
static unsigned long switching_steps;

static void only_switch(void)
{
    step_on();
    step_off();
}

void boundary_begin(void)
{
    step_require();
    tally = boundary_share(sizeof *tally);
    breakpoints = boundary_share(sizeof *breakpoints);
    own_steps = 0;
    step_through(count_step, only_switch);
    switching_steps = own_steps;
}

void boundary_prepare(const struct state *state)
{
    if (state->needs != STATIC_HEAP)
        AO_malloc_enable_mmap();
    state->prepare();
}

static bool count_boundary(void)
{
    tally->boundaries++;
    if (boundary_extent() == BOUNDARY_FEW && tally->boundaries > STEPS_OF_LONG_MIN)
        _exit(TEST_SKIPPED);
    return true;
}

/* Samples are of the whole call. */
static void try_state(void *argument)
{
    const struct state *state = argument;

    if (state->needs == FRONTS) {
        AO_malloc_enable_mmap();
        if (strncmp(AO_malloc_mode(), "cas", 3) == 0)
            _exit(TEST_SKIPPED);
    }
    if (boundary_extent() == BOUNDARY_ALL)
        return;
    boundary_prepare(state);
    step_through(count_boundary, state->call_it);
}

bool boundary_is_possible(const struct state *state, bool with_breakpoints)
{
    struct state tried = *state;
    struct child_result ended;

    if (with_breakpoints && !breakpoints_exist()) {
        printf("left out: call=%s state=%s: no breakpoints for this processor\n", state->call, state->name);
        return false;
    }
    fflush(NULL);
    child_run(try_state, &tried, CHILD_STDERR_SHARED, &ended);
    if (WIFEXITED(ended.status) && WEXITSTATUS(ended.status) == TEST_SKIPPED) {
        printf("left out: call=%s state=%s\n", state->call, state->name);
        return false;
    }
    child_assert_exited(&ended);
    was_possible = true;
    return true;
}

void boundary_require_any(void)
{
    if (!was_possible)
        test_skip("none of the states is possible here");
    was_possible = false;
}

void boundary_require_own_states(void)
{
    step_require();
    if (states_of_variant_count == 0)
        test_skip("a variant without states of its own");
}

static void note_work(void)
{
    unsigned long work = own_steps - switching_steps;
    unsigned long *most = step_system_calls ? &tally->work_with_system : &tally->work;

    tally->calls_counted++;
    if (work > *most)
        *most = work;
}

static void end_copy(void)
{
    plan->after();
    _exit(0);
}

/* False: it did not come by the breakpoint. */
static bool wait_for_copy(pid_t copy)
{
    int status;

    CHECK(copy > 0 && waitpid(copy, &status, 0) == copy);
    if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_NOT_HIT)
        return false;
    tally->copies++;
    tally->covered++;
    if (status == 0)
        return true;
    fprintf(stderr, "%s in state %s, %s at %s %lu: the copy ended with wait status 0x%x\n", plan->state->call,
            plan->state->name, tally->what, plan->with_breakpoints ? "breakpoint" : "instruction", position, status);
    _exit(1);
}

static pid_t copy_process(void)
{
    pid_t copy = fork();

    if (copy != 0)
        return copy;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    in_copy = true;
    boundary_rng = rng_stream(test_seed(), position * 1000 + tally->copies);
    return 0;
}

static bool is_chosen(void)
{
    if (plan->whole_sections && breakpoints->about_section[position])
        return true;
    uint64_t turn = position + test_seed();
    switch (boundary_extent()) {
    case BOUNDARY_ALL:
        return true;
    case BOUNDARY_EACH:
        return plan->samples && turn % thinned == 0 && turn / thinned % plan->ways == plan->way;
    default:
        return position == always || rng_below(&boundary_rng, tally->boundaries) < test_times(plan->samples) - 1;
    }
}

/* ---- by steps ---- */

static bool is_counted_to_its_end(void)
{
    return plan->after && (position + COUNTED_MAX > tally->boundaries || rng_below(&boundary_rng, COUNTED_ONE_IN) == 0);
}

/* Goes on in the original, and in the copy as long as its instructions are counted. */
static bool split(void)
{
    position++;
    own_steps++;
    if (!is_chosen())
        return true;
    pid_t copy = copy_process();
    if (copy != 0) {
        CHECK(wait_for_copy(copy));
        return true;
    }
    unsigned system_calls = step_system_calls;
    step_with(NULL);
    plan->at();
    step_system_calls = system_calls;
    bool counts = is_counted_to_its_end();
    step_with(counts ? count_step : NULL);
    return counts;
}

static void by_steps(void)
{
    own_steps = position = 0;
    always = tally->boundaries ? rng_below(&boundary_rng, tally->boundaries) + 1 : 0;
    step_system_calls = 0;
    step_with(split);
    plan->state->call_it();
    bool was_counted = step_function != NULL;
    step_with(NULL);
    if (was_counted)
        note_work();
    if (in_copy)
        end_copy();
    CHECK(position > switching_steps);
    tally->boundaries = position;
}

/* ---- by breakpoints ---- */

static void at_break(void)
{
    plan->at();
}

static void stop_at(uintptr_t address)
{
    breakpoint_set(address, at_break);
    plan->state->call_it();
    if (!breakpoint_was_hit())
        _exit(EXIT_NOT_HIT);
    end_copy();
}

/* In a section of which nothing is to be left out, and where there must be one at least: again, if another process was
 * given the processor there. */
static void try_breakpoint(void)
{
    bool must_be_hit = plan->whole_sections && breakpoints->about_section[position];

    for (unsigned tries = 0; tries < (must_be_hit || position == always ? TRIES_OF_SECTIONS : 1); tries++) {
        pid_t copy = copy_process();
        if (copy == 0)
            stop_at(breakpoints->at[position]);
        if (wait_for_copy(copy))
            return;
    }
    CHECK(!must_be_hit);
    tally->not_hit++;
}

static void by_breakpoints(void)
{
    CHECK(breakpoints_find(plan->state->call_it, breakpoints));
    CHECK(breakpoints->count > switching_steps);
    tally->boundaries = breakpoints->count;
    tally->in_sections = breakpoints->in_sections;
    /* Not one of the first, which may be those that switch steps on, and are not come by without. */
    always = switching_steps + rng_below(&boundary_rng, breakpoints->count - switching_steps);
    unsigned long covered = tally->covered, not_hit = tally->not_hit;
    for (position = 0; position < breakpoints->count; position++) {
        if (is_chosen())
            try_breakpoint();
    }
    CHECK(tally->covered > covered || tally->not_hit == not_hit);
}

static void run_plan(void *argument)
{
    (void)argument;
    boundary_rng = rng_stream(test_seed(), tally->copies);
    boundary_prepare(plan->state);
    (plan->with_breakpoints ? by_breakpoints : by_steps)();
}

void boundary_each(const struct boundary_plan *wanted)
{
    struct child_result ended;

    plan = wanted;
    tally->what = plan->what;
    bool is_long = !plan->with_breakpoints && tally->boundaries > STEPS_OF_LONG_MIN;
    thinned = is_long && boundary_extent() == BOUNDARY_EACH ? plan->one_in_long : 1;
    fflush(NULL);
    child_run(run_plan, NULL, CHILD_STDERR_SHARED, &ended);
    if (ended.status != 0)
        print_error("%s in state %s\n", plan->state->call, plan->state->name);
    child_assert_exited(&ended);
}

/* ---- a handler within a handler ---- */

static unsigned long steps_left;
static void (*inner_handler)(void);

static bool interrupt_once(void)
{
    if (--steps_left > 0)
        return true;
    step_with(NULL);
    inner_handler();
    return false;
}

void boundary_interrupted_within(void (*what)(void), void (*handler)(void), unsigned long steps_about)
{
    steps_left = 1 + rng_below(&boundary_rng, steps_about);
    inner_handler = handler;
    step_through(interrupt_once, what);
}
