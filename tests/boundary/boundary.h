/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Does something at each instruction boundary of a call, each time in a copy (a fork) of the process that has come
 * that far: the call itself is stepped through once, and state and position are exactly the same for all that is done.
 *
 * Steps abort restartable sections. What a call does where none is aborted is reached by breakpoints instead, at each
 * of its instructions: the trap is the signal that interrupts the section, and the kernel does with it what it does
 * with any.
 */
#ifndef AOMALLOC_TEST_BOUNDARY_H
#define AOMALLOC_TEST_BOUNDARY_H

#include "rng.h"
#include "state.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * How much is tried, from AOMALLOC_TEST_BOUNDARIES. few, the default: samples, in calls that are not long. some, also
 * if AOMALLOC_TEST_LONG=1: samples in all states. each: every boundary, with one of the things that are done there,
 * or of long calls one in so many. all: every boundary with everything.
 */
enum boundary_extent { BOUNDARY_FEW, BOUNDARY_SOME, BOUNDARY_EACH, BOUNDARY_ALL };
enum boundary_extent boundary_extent(void);

/* How much was tried of the state that was last the plan's. */
const char *boundary_extent_name(void);

/* What is found out in copies, in memory that all of them share. */
struct boundary_tally {
    const char *what;          /* is done in the copy, for messages */
    unsigned long boundaries;  /* between instructions of the undisturbed call */
    unsigned long in_sections; /* of these, in a restartable section */
    unsigned long covered;     /* of these; several times, if several things are done */
    unsigned long copies;
    unsigned long handlers, pairs;        /* handlers run; of these, inside another */
    unsigned long work, work_with_system; /* most instructions of one call, without its handlers; with a system call */
    unsigned long calls_counted;
    unsigned long not_hit;                /* breakpoints that this time the call did not come by */
    unsigned long blocks, chunks, hidden; /* most that are missing; chunks that are free and not found */
};
extern struct boundary_tally *tally;

struct boundary_plan {
    const struct state *state;
    const char *what;      /* is done there, for messages */
    unsigned samples;      /* of the boundaries, about, unless all are meant */
    unsigned ways, way;    /* this is one of so many things to do there, which take turns */
    unsigned one_in_long;  /* of the boundaries of long calls, if each is meant */
    void (*at)(void);      /* in the copy, right there, as a handler */
    void (*after)(void);   /* in the copy, when the call has returned */
    bool with_breakpoints; /* not by steps */
    bool whole_sections;   /* then all instructions of sections are, and the first behind each */
};

/* In a process of its own, prepared for the state. Fails the test when a copy does. */
void boundary_each(const struct boundary_plan *plan);

/* Sets up the tally and skips the test where it cannot be. */
void boundary_begin(void);

/*
 * Whether the state can be had here, by what is in front of the heaps, the call is no longer than is meant, and there
 * are breakpoints, if they are.
 */
bool boundary_is_possible(const struct state *state, bool with_breakpoints);

/* In a new process: the heap as the call is to find it. */
void boundary_prepare(const struct state *state);

/* For this process and all that it forks. */
void *boundary_share(size_t bytes);

/* Skips a test of states_of_variant where there are none. */
void boundary_require_own_states(void);

/* At the end of a test: skips it if none of its states was possible. */
void boundary_require_any(void);

/* For what is done in copies: an own stream for each. */
extern struct rng boundary_rng;

/* Runs what() with handler() in it after its m-th instruction, m random; what() marks by step_on() what is meant. */
void boundary_interrupted_within(void (*what)(void), void (*handler)(void), unsigned long steps_about);

#endif /* AOMALLOC_TEST_BOUNDARY_H */
