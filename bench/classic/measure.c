/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * measure LOG LIBRARY PROGRAM ARGUMENT...: runs a program with LIBRARY preloaded, - for none, and appends a line to
 * LOG: monotonic seconds of its begin and end, CPU seconds, peak resident KiB of the largest process among it and the
 * descendants it waited for. Small and without a malloc of its own, as the kernel counts what a process was before its
 * exec into its peak: Python's 10 MiB would hide that of many programs. Signals go on to the program, so that scripts
 * may treat this as the server.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { STATUS_OWN_FAILURE = 125, STATUS_NOT_FOUND = 127 };

static volatile pid_t child;

static void pass_on(int number)
{
    int kept = errno;
    kill(child, number);
    errno = kept;
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static double seconds(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec * 1e-6;
}

static void start(char **arguments, const sigset_t *mask)
{
    child = fork();
    if (child != 0)
        return;
    sigprocmask(SIG_SETMASK, mask, NULL);
    if (strcmp(arguments[2], "-") != 0)
        setenv("LD_PRELOAD", arguments[2], 1);
    execvp(arguments[3], arguments + 3);
    fprintf(stderr, "measure: %s: %s\n", arguments[3], strerror(errno));
    _exit(STATUS_NOT_FOUND);
}

/* One write, so that lines of several processes do not mix. */
static int record(const char *path, double began, const struct rusage *usage)
{
    char line[128];
    int length = snprintf(line, sizeof(line), "%.6f %.6f %.6f %ld\n", began, now(),
                          seconds(usage->ru_utime) + seconds(usage->ru_stime), usage->ru_maxrss);
    int file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    int failed = file < 0 || write(file, line, (size_t)length) != length;
    if (failed)
        fprintf(stderr, "measure: %s: %s\n", path, strerror(errno));
    if (file >= 0)
        close(file);
    return failed;
}

int main(int count, char **arguments)
{
    static const int passed_on[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
    struct sigaction action = {.sa_handler = pass_on};
    struct rusage usage;
    sigset_t wanted;
    sigset_t before;
    int status = 0;

    if (count < 4) {
        fputs("usage: measure LOG LIBRARY PROGRAM ARGUMENT...\n", stderr);
        return STATUS_OWN_FAILURE;
    }
    /* Held back until there is somebody to pass them on to. */
    sigemptyset(&wanted);
    for (size_t i = 0; i < sizeof(passed_on) / sizeof(passed_on[0]); i++)
        sigaddset(&wanted, passed_on[i]);
    sigprocmask(SIG_BLOCK, &wanted, &before);
    double began = now();
    start(arguments, &before);
    if (child < 0) {
        perror("measure: fork");
        return STATUS_OWN_FAILURE;
    }
    for (size_t i = 0; i < sizeof(passed_on) / sizeof(passed_on[0]); i++)
        sigaction(passed_on[i], &action, NULL);
    sigprocmask(SIG_SETMASK, &before, NULL);
    while (wait4(child, &status, 0, &usage) < 0)
        if (errno != EINTR) {
            perror("measure: wait4");
            return STATUS_OWN_FAILURE;
        }
    if (record(arguments[1], began, &usage))
        return STATUS_OWN_FAILURE;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
