/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* Breakpoints in this process's own code, for the instructions of calls whose restartable sections are not aborted. */
#ifndef AOMALLOC_TEST_BREAKPOINT_H
#define AOMALLOC_TEST_BREAKPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BREAKPOINTS_MAX = 8192 };

/* Whether they are known for this processor. */
bool breakpoints_exist(void);

/* The instructions that a call runs through when nothing aborts its sections. */
struct breakpoints {
    size_t count;
    size_t steps; /* with those that it comes by again */
    size_t in_sections;
    uintptr_t at[BREAKPOINTS_MAX];
    bool about_section[BREAKPOINTS_MAX]; /* in one, or the first behind it, where one that is too short would end */
};

/*
 * Steps through call() in a copy of this process in which the kernel knows of no restartable sequences, so that it
 * aborts none. False: cannot be had here. found is in shared memory.
 */
bool breakpoints_find(void (*call)(void), struct breakpoints *found);

/* The next time that this thread comes by, on_break() is called in a signal handler, once. */
void breakpoint_set(uintptr_t address, void (*on_break)(void));
bool breakpoint_was_hit(void);

#endif /* AOMALLOC_TEST_BREAKPOINT_H */
