/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * What is traced runs at full speed but for the threads that have asked for a step. A signal that comes to one of these
 * waits until the instruction has been executed, and is sent again then: the handler of the step runs already, and the
 * other handler interrupts that. A fault, though, is delivered at once, and ends the stepping.
 */

#define _GNU_SOURCE
#include "step_tracer.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    STEPPED_MAX = 64,
    STANDARD_SIGNALS = 32,
    ATTACH_OPTIONS = PTRACE_O_EXITKILL | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK
};

/* Those that execute an instruction now. */
static struct stepped {
    pid_t thread; /* 0: none */
    bool in_sequence;
    uint64_t waiting; /* signals, a bit each */
} stepped[STEPPED_MAX];

static struct stepped *find(pid_t thread)
{
    for (size_t i = 0; i < STEPPED_MAX; i++)
        if (stepped[i].thread == thread)
            return &stepped[i];
    return NULL;
}

/* If it has been killed meanwhile it will be reported as ended. */
static void go_on(pid_t thread, int signal_number)
{
    ptrace(PTRACE_CONT, thread, NULL, (void *)(uintptr_t)signal_number);
}

static void step(struct stepped *one)
{
    if (one->in_sequence)
        go_on(one->thread, 0);
    else if (ptrace(PTRACE_SINGLESTEP, one->thread, NULL, NULL) != 0 && errno == EIO) {
        go_on(one->thread, 0); /* not on this processor: there will be no trap */
        one->thread = 0;
    }
}

static void begin_step(pid_t thread)
{
    struct stepped *one = find(0);

    if (!one)
        _exit(1); /* and all that is traced is killed */
    *one = (struct stepped){thread, step_sequence_begins(thread), 0};
    step(one);
}

static void end_step(struct stepped *one)
{
    pid_t thread = one->thread;

    one->thread = 0;
    if (one->in_sequence)
        step_sequence_ended(thread);
    for (int number = 1; number < 64; number++)
        if (one->waiting >> number & 1)
            syscall(SYS_tkill, thread, number);
}

static bool is_fault(const siginfo_t *information)
{
    return information->si_code > 0 && (information->si_signo == SIGSEGV || information->si_signo == SIGBUS ||
                                        information->si_signo == SIGILL || information->si_signo == SIGFPE);
}

static void on_signal(pid_t thread, int number)
{
    struct stepped *one = find(thread);
    siginfo_t information;

    if (ptrace(PTRACE_GETSIGINFO, thread, NULL, &information) != 0)
        return; /* killed */
    if (number == SIGTRAP && information.si_code == SI_TKILL) {
        begin_step(thread);
    } else if (one && number != SIGTRAP && !is_fault(&information)) {
        one->waiting |= (uint64_t)1 << number;
        step(one);
    } else {
        if (one)
            end_step(one);
        go_on(thread, number);
    }
}

/* A thread or process that is new, or has made one; or one that is stopped until SIGCONT. */
static void on_event(pid_t thread, int event, int number)
{
    struct stepped *one = find(thread);

    if (event == PTRACE_EVENT_STOP && number != SIGTRAP)
        ptrace(PTRACE_LISTEN, thread, NULL, NULL);
    else if (one)
        step(one);
    else
        go_on(thread, 0);
}

static void on_end(pid_t thread)
{
    struct stepped *one = find(thread);

    if (one)
        one->thread = 0;
}

/* Nobody waits for an end of file that does not come. */
static void close_all(void)
{
    for (int file = 0; file < 1024; file++)
        close(file);
}

_Noreturn void step_trace(pid_t thread, int answer)
{
    int error = ptrace(PTRACE_SEIZE, thread, NULL, (void *)(uintptr_t)ATTACH_OPTIONS) == 0 ? 0 : errno;
    int status;

    if (write(answer, &error, sizeof error) != sizeof error || error)
        _exit(1);
    close_all();
    while ((thread = waitpid(-1, &status, __WALL)) > 0 || errno == EINTR) {
        if (thread < 0)
            continue;
        if (!WIFSTOPPED(status))
            on_end(thread);
        else if (status >> 16)
            on_event(thread, status >> 16, WSTOPSIG(status));
        else
            on_signal(thread, WSTOPSIG(status));
    }
    _exit(0);
}
