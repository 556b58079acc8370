/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Where a processor has both ways to step they must come by the same instructions: of each call in each state all of
 * them are compared. One thing differs: the trap flag's first trap after a system call is not the one right behind it,
 * but that after the next instruction.
 */

#define _GNU_SOURCE
#include "boundary.h"
#include "child.h"
#include "step.h"
#include "test.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

enum { TRACE_MAX = 1 << 17 };

/* Addresses of instructions that came next. */
static struct trace {
    size_t count;
    uintptr_t address[TRACE_MAX];
    bool is_behind_system_call[TRACE_MAX];
} * by_trap_flag, *by_ptrace;

static const struct traced {
    const struct state *state;
    const struct step_way *way;
    struct trace *trace;
} * tracing;

/* What a trace has before the call, in on(). */
struct lead {
    size_t of_trap_flag, of_ptrace;
};

static bool note(void)
{
    static unsigned system_calls;
    struct trace *trace = tracing->trace;

    CHECK(trace->count < TRACE_MAX);
    trace->address[trace->count] = step_address;
    if (trace->count + 1 < TRACE_MAX)
        trace->is_behind_system_call[trace->count + 1] = step_system_calls > system_calls;
    system_calls = step_system_calls;
    trace->count++;
    return true;
}

static void trace_call(void *argument)
{
    tracing = argument;
    step_require_way(tracing->way);
    boundary_prepare(tracing->state);
    tracing->trace->count = 0;
    step_system_calls = 0;
    step_with(note);
    tracing->state->call_it();
    step_with(NULL);
}

static void trace_by(const struct step_way *way, const struct state *state, struct trace *trace)
{
    struct traced traced = {state, way, trace};
    struct child_result ended;

    child_run(trace_call, &traced, CHILD_STDERR_SHARED, &ended);
    if (WEXITSTATUS(ended.status) == TEST_SKIPPED)
        exit(TEST_SKIPPED);
    child_assert_exited(&ended);
}

/* Up to the call of off(). */
static size_t end_of(const struct trace *trace, const struct step_way *way)
{
    size_t end = trace->count;

    while (end > 0 && trace->address[end - 1] != (uintptr_t)way->off)
        end--;
    CHECK(end > 1);
    return end - 1;
}

/* From the end, as long as they agree. */
static struct lead compare(size_t *boundaries, size_t *system_calls)
{
    struct lead lead = {end_of(by_trap_flag, &step_by_trap_flag), end_of(by_ptrace, &step_by_ptrace)};

    *boundaries = *system_calls = 0;
    while (lead.of_trap_flag > 0 && lead.of_ptrace > 0) {
        if (by_ptrace->is_behind_system_call[lead.of_ptrace - 1])
            ++*system_calls;
        else if (by_trap_flag->address[lead.of_trap_flag - 1] == by_ptrace->address[lead.of_ptrace - 1])
            lead.of_trap_flag--;
        else
            break;
        ++*boundaries;
        lead.of_ptrace--;
    }
    return lead;
}

static void nothing(void)
{
}

static void only_switch(void)
{
    step_on();
    step_off();
}

static struct lead compare_in_state(const struct state *state)
{
    size_t boundaries, system_calls;

    trace_by(&step_by_trap_flag, state, by_trap_flag);
    trace_by(&step_by_ptrace, state, by_ptrace);
    struct lead lead = compare(&boundaries, &system_calls);
    printf("agreed: call=%s state=%s boundaries=%zu behind_system_calls=%zu\n", state->call, state->name, boundaries,
           system_calls);
    return lead;
}

static void compare_in_each(const struct state *some, size_t count)
{
    static const struct state empty = {"none", "none", nothing, only_switch, STATIC_HEAP, 0, 0};

    boundary_begin();
    struct lead expected = compare_in_state(&empty);
    for (size_t i = 0; i < count; i++) {
        if (!boundary_is_possible(&some[i], false))
            continue;
        struct lead found = compare_in_state(&some[i]);
        CHECK(found.of_trap_flag == expected.of_trap_flag && found.of_ptrace == expected.of_ptrace);
    }
    boundary_require_any();
}

/* What calls do may depend on where they run. */
static void stay_here(void)
{
    cpu_set_t cpu;

    CPU_ZERO(&cpu);
    CPU_SET((size_t)sched_getcpu(), &cpu);
    CHECK(sched_setaffinity(0, sizeof cpu, &cpu) == 0);
}

static void begin(void)
{
    stay_here();
    by_trap_flag = boundary_share(sizeof *by_trap_flag);
    by_ptrace = boundary_share(sizeof *by_ptrace);
}

TEST(both_ways_come_by_the_same_instructions)
{
    begin();
    compare_in_each(states, states_count);
}

TEST(both_ways_come_by_the_same_in_states_of_the_variant)
{
    boundary_require_own_states();
    begin();
    compare_in_each(states_of_variant, states_of_variant_count);
}
