/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* Runs one worker and reads its line of key=value pairs. */
#include "driver.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define LINE_BYTES 512

extern char **environ;

/* This environment with LD_PRELOAD set to preload, or without it for NULL. Only the array is new. */
static char **environment_with(char *preload)
{
    size_t count = 0, kept = 0;
    while (environ[count] != NULL)
        count++;
    char **environment = calloc(count + 2, sizeof(*environment));
    if (environment == NULL)
        return NULL;
    for (size_t i = 0; i < count; i++)
        if (strncmp(environ[i], "LD_PRELOAD=", 11) != 0)
            environment[kept++] = environ[i];
    if (preload != NULL)
        environment[kept] = preload;
    return environment;
}

static int start(pid_t *child, const char *const *arguments, char **environment, int out, bool quiet)
{
    posix_spawn_file_actions_t actions;
    int error = posix_spawn_file_actions_init(&actions);
    if (error != 0)
        return error;
    posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    if (quiet)
        posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    /* POSIX takes char * there only for C's lack of a fitting conversion; it promises not to write. */
    error = posix_spawn(child, arguments[0], &actions, NULL, (char *const *)arguments, environment);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

/* Reads to the end of the child's output, keeping what fits. */
static void read_all(int fd, char *line)
{
    char rest[LINE_BYTES];
    size_t length = 0;
    ssize_t got;
    while ((got = read(fd, rest, sizeof(rest))) != 0) {
        if (got < 0) {
            if (errno == EINTR)
                continue;
            break;
        }
        size_t room = LINE_BYTES - 1 - length;
        size_t keep = (size_t)got < room ? (size_t)got : room;
        memcpy(line + length, rest, keep);
        length += keep;
    }
    line[length] = '\0';
    line[strcspn(line, "\n")] = '\0';
}

static int wait_for(pid_t child)
{
    int status = 0;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return status;
}

/* The wait status, or -1 when the worker could not be started. */
static int run(const char *const *arguments, const char *preload, bool quiet, char *line)
{
    int ends[2], status = -1;
    char *variable = NULL;
    pid_t child;

    if (preload != NULL && asprintf(&variable, "LD_PRELOAD=%s", preload) < 0)
        return -1;
    char **environment = environment_with(variable);
    if (environment != NULL && pipe2(ends, O_CLOEXEC) == 0) {
        int error = start(&child, arguments, environment, ends[1], quiet);
        close(ends[1]);
        if (error == 0) {
            read_all(ends[0], line);
            status = wait_for(child);
        } else {
            fprintf(stderr, "aomalloc-bench: %s could not be started: %s\n", arguments[0], strerror(error));
        }
        close(ends[0]);
    }
    free(environment);
    free(variable);
    return status;
}

/* What follows "key=" in the line, up to a blank; NULL when it is not there. */
static const char *value_of(const char *line, const char *key)
{
    size_t length = strlen(key);
    for (const char *at = line; at != NULL; at = strchr(at, ' ')) {
        at += *at == ' ';
        if (strncmp(at, key, length) == 0 && at[length] == '=')
            return at + length + 1;
    }
    return NULL;
}

static double number_of(const char *line, const char *key)
{
    const char *text = value_of(line, key);
    return text != NULL ? strtod(text, NULL) : (double)NAN;
}

char *bench_spawn_identify(const char *worker, const char *preload)
{
    char line[LINE_BYTES];
    const char *const arguments[] = {worker, "--identify", NULL};
    if (run(arguments, preload, true, line) != 0)
        return NULL;
    const char *library = value_of(line, "library");
    return library != NULL ? strndup(library, strcspn(library, " ")) : NULL;
}

static bool served_by(const char *line, const char *library)
{
    const char *text = value_of(line, "library");
    size_t length = strlen(library);
    return text != NULL && strncmp(text, library, length) == 0 && (text[length] == ' ' || text[length] == '\0');
}

static void read_sample(const char *line, struct bench_sample *sample)
{
    double live = number_of(line, "live_kib");
    double peak = number_of(line, "peak_kib");
    double end = number_of(line, "end_kib");
    double trimmed = number_of(line, "trimmed_kib");

    *sample = (struct bench_sample){{
        [BENCH_NS_PER_OP] = number_of(line, "ns_per_op"),
        [BENCH_PEAK_KIB] = peak,
        [BENCH_END_KIB] = end,
        [BENCH_TRIMMED_KIB] = trimmed,
        [BENCH_PEAK_PER_LIVE] = peak / live,
        [BENCH_END_PER_LIVE] = end / live,
        [BENCH_TRIMMED_PER_LIVE] = trimmed / live,
    }};
}

/* Why a worker failed, as far as it did not say so itself. */
static const char *reason(int status)
{
    if (status == -1)
        return "it could not be run";
    if (WIFSIGNALED(status))
        return strsignal(WTERMSIG(status));
    switch (WEXITSTATUS(status)) {
    case 0:
        return "its output was not understood";
    case BENCH_EXIT_TIMEOUT:
        return "it did not end in time";
    case BENCH_EXIT_NO_MEMORY:
        return "it ran out of memory";
    default:
        return "it failed";
    }
}

bool bench_spawn(const struct bench_plan *plan, const struct bench_contender *contender,
                 enum bench_workload_id workload, unsigned threads, struct bench_sample *sample)
{
    char thread_text[16], time_text[16], timeout_text[16], seed_text[24], line[LINE_BYTES] = "";
    const char *const arguments[] = {contender->worker,
                                     "--workload",
                                     bench_catalog[workload].name,
                                     "--threads",
                                     thread_text,
                                     "--time",
                                     time_text,
                                     "--timeout",
                                     timeout_text,
                                     "--seed",
                                     seed_text,
                                     plan->pin ? "--pin" : NULL,
                                     NULL};
    snprintf(thread_text, sizeof(thread_text), "%u", threads);
    snprintf(time_text, sizeof(time_text), "%u", plan->time_ms);
    snprintf(timeout_text, sizeof(timeout_text), "%u", plan->timeout_s);
    snprintf(seed_text, sizeof(seed_text), "%" PRIu64, plan->seed);

    int status = run(arguments, contender->preload, false, line);
    if (status == 0 && served_by(line, contender->library)) {
        read_sample(line, sample);
        return true;
    }
    fprintf(stderr, "aomalloc-bench: no result from %s in %s with %u thread%s: %s\n", contender->name,
            bench_catalog[workload].name, threads, threads == 1 ? "" : "s", reason(status));
    return false;
}
