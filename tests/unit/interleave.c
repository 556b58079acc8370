/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

#define _GNU_SOURCE
#include "interleave.h"
#include "rng.h"
#include "step.h"
#include "test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void (*run_intruder)(void);
static unsigned sparse;
static struct rng rng;
static unsigned long position;
static bool in_copy;

static void wait_for_copy(pid_t copy)
{
    int status;

    CHECK(copy > 0 && waitpid(copy, &status, 0) == copy);
    if (status == 0)
        return;
    fprintf(stderr, "the intruder came after instruction %lu; wait status of the copy: 0x%x\n", position, status);
    test_fail(__FILE__, __LINE__, "the copy ends well");
}

static bool is_passed_by(void)
{
    return sparse > 1 && !test_long() && rng_below(&rng, sparse) != 0;
}

/* Goes on stepping in the original, not in the copy. */
static bool split(void)
{
    position++;
    if (is_passed_by())
        return true;
    pid_t copy = fork();
    if (copy != 0) {
        wait_for_copy(copy);
        return true;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    in_copy = true;
    run_intruder();
    return false;
}

static void step_through(void (*operation)(void))
{
    position = 0;
    step_with(split);
    step_on();
    operation();
    step_off();
}

void interleave_sparsely(unsigned one_in, void (*operation)(void), void (*intruder)(void), void (*verify)(void))
{
    step_require();
    run_intruder = intruder;
    sparse = one_in;
    rng = rng_stream(test_seed(), 0);
    fflush(NULL);
    step_through(operation);
    if (in_copy) {
        verify();
        _exit(EXIT_SUCCESS);
    }
    step_with(NULL);
    CHECK(position > 3); /* a call, its body and its return: else nothing was stepped through */
    intruder();
    verify();
}

void interleave(void (*operation)(void), void (*intruder)(void), void (*verify)(void))
{
    interleave_sparsely(1, operation, intruder, verify);
}
