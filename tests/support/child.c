/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

#define _GNU_SOURCE
#include "child.h"
#include "test.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* cmocka catches these to report them; the parent reports them here, with the child's own reason. */
static const int caught_by_cmocka[] = {SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS};

static _Noreturn void be_child(void (*run)(void *), void *argument)
{
    static const struct rlimit no_core = {0, 0};

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setrlimit(RLIMIT_CORE, &no_core);
    for (size_t i = 0; i < sizeof caught_by_cmocka / sizeof caught_by_cmocka[0]; i++)
        signal(caught_by_cmocka[i], SIG_DFL);
    /* A failed assert_*() must end the child, not jump into its copy of the parent's loop. */
    setenv("CMOCKA_TEST_ABORT", "1", 1);
    run(argument);
    fflush(NULL);
    _exit(EXIT_SUCCESS);
}

/* Reads to the end, also what does not fit: a child that writes too much must not block on a full pipe. */
static void read_output(int fd, struct child_result *result)
{
    char rest[256];
    for (;;) {
        size_t room = result->length < sizeof result->output - 1 ? sizeof result->output - 1 - result->length : 0;
        ssize_t got = room ? read(fd, result->output + result->length, room) : read(fd, rest, sizeof rest);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return;
        if (room)
            result->length += (size_t)got;
    }
}

/* qemu-user has a word of its own to say when a program ends by a signal. */
static void drop_emulators_line(struct child_result *result)
{
    char *line = strstr(result->output, "qemu: uncaught target signal ");

    if (line && (line == result->output || line[-1] == '\n')) {
        *line = 0;
        result->length = (size_t)(line - result->output);
    }
}

void child_run(void (*run)(void *), void *argument, enum child_stderr mode, struct child_result *result)
{
    int ends[2] = {-1, -1};

    memset(result, 0, sizeof *result);
    if (mode == CHILD_STDERR_CAPTURED && pipe(ends) != 0)
        test_fail(__FILE__, __LINE__, "pipe()");
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0)
        test_fail(__FILE__, __LINE__, "fork()");
    if (pid == 0) {
        if (mode == CHILD_STDERR_CAPTURED) {
            dup2(ends[1], 2);
            close(ends[0]);
            close(ends[1]);
        }
        be_child(run, argument);
    }
    if (mode == CHILD_STDERR_CAPTURED) {
        close(ends[1]);
        read_output(ends[0], result);
        drop_emulators_line(result);
        close(ends[0]);
    }
    while (waitpid(pid, &result->status, 0) < 0)
        if (errno != EINTR)
            test_fail(__FILE__, __LINE__, "waitpid()");
}

void child_assert_exited(const struct child_result *result)
{
    if (WIFSIGNALED(result->status))
        fail_msg("ended by signal %d (%s)", WTERMSIG(result->status), strsignal(WTERMSIG(result->status)));
    if (WEXITSTATUS(result->status) != 0)
        fail_msg("exited with status %d", WEXITSTATUS(result->status));
}
