/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Another process, the tracer, lets threads of this one execute single instructions. What threads here and the tracer
 * say to each other are signals, and nothing is stepped where SIGTRAP may be blocked:
 *
 *   a thread sends itself SIGTRAP (SI_TKILL)   the tracer keeps it, and lets the thread execute one instruction
 *   SIGTRAP after an instruction               is delivered, and the handler runs at full speed
 *
 * A handler that wants another step blocks SIGTRAP and sends it: it arrives when the mask of the interrupted code is
 * restored, so that what is stepped next is that code's next instruction and nothing of the return. off() only notes
 * that there is to be no further step.
 */

#define _GNU_SOURCE
#include "step_way.h"
#include "step_tracer.h"
#include "test.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static _Thread_local volatile bool is_stepping;

static void ask_for_a_step(void)
{
    is_stepping = true;
    syscall(SYS_tgkill, getpid(), (pid_t)syscall(SYS_gettid), SIGTRAP);
}

static void off(void)
{
    is_stepping = false;
}

static void on_trap(int number, siginfo_t *information, void *context)
{
    int kept = errno;

    (void)number;
    CHECK(information->si_code != SI_TKILL); /* nobody traces this thread */
    if (is_stepping) {
        is_stepping = false;
        if (step_took(context)) {
            sigset_t trap;
            sigemptyset(&trap);
            sigaddset(&trap, SIGTRAP);
            sigprocmask(SIG_BLOCK, &trap, NULL);
            ask_for_a_step();
        }
    }
    errno = kept;
}

/* ---- the tracer ---- */

/* The tracer is nobody's child, so that this process finds no other children than its own. */
static void be_tracer(pid_t thread, int answer)
{
    pid_t parent = fork();

    if (parent != 0)
        _exit(parent < 0);
    step_trace(thread, answer);
}

static const char *explain(int error)
{
    static char why[128];

    snprintf(why, sizeof why, "ptrace is refused here: %s", strerror(error));
    return why;
}

/* All that is forked or cloned from now on is traced from its beginning. */
static const char *begin(void)
{
    static bool is_traced;
    int answers[2], status, error = 0;

    if (is_traced)
        return NULL;
    CHECK(pipe(answers) == 0);
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0); /* where Yama allows parents only */
    pid_t thread = (pid_t)syscall(SYS_gettid);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0)
        be_tracer(thread, answers[1]);
    close(answers[1]);
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(read(answers[0], &error, sizeof error) == sizeof error);
    close(answers[0]);
    is_traced = error == 0;
    return is_traced ? NULL : explain(error);
}

const struct step_way step_by_ptrace = {"ptrace", begin, ask_for_a_step, off, on_trap};
