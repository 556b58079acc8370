/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * One measurement of one allocator, in a process of its own. Prints one line of key=value pairs for the driver.
 * Reading the options allocates a little, before anything is measured.
 */
#include "argument.h"
#include "binding.h"
#include "harness.h"
#include "memory.h"

#include <argp.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum key {
    KEY_WORKLOAD = 'w',
    KEY_THREADS = 't',
    KEY_TIME = 'm',
    KEY_OPS = 'o',
    KEY_SEED = 's',
    KEY_TIMEOUT = 'x',
    KEY_PIN = 'p',
    KEY_IDENTIFY = 'i'
};

static const struct argp_option option_table[] = {
    {"workload", KEY_WORKLOAD, "NAME", 0, "The workload to run (aomalloc-bench --list names them)", 0},
    {"threads", KEY_THREADS, "N", 0, "Threads that run it (default 1)", 0},
    {"time", KEY_TIME, "MS", 0, "Milliseconds to measure, after a warm-up of a quarter of that (default 200)", 0},
    {"ops", KEY_OPS, "N", 0, "Do N operations in each thread instead, without a warm-up; not for phases", 0},
    {"seed", KEY_SEED, "N", 0, "Seed of the random sizes and slots", 0},
    {"timeout", KEY_TIMEOUT, "S", 0, "Give up after that many seconds (default 60)", 0},
    {"pin", KEY_PIN, NULL, 0, "Pin threads to CPUs", 0},
    {"identify", KEY_IDENTIFY, NULL, 0, "Only tell which library serves the calls", 0},
    {0}};

static void identify(void)
{
    printf("library=%s\n", bench_binding_library());
    exit(EXIT_SUCCESS);
}

static void set_workload(struct argp_state *state, const char *name)
{
    struct bench_options *options = state->input;
    int workload = bench_catalog_find(name);
    if (workload < 0)
        argp_error(state, "there is no workload '%s'", name);
    options->workload = (enum bench_workload_id)workload;
}

static void check(struct argp_state *state)
{
    struct bench_options *options = state->input;
    if (options->workload == BENCH_WORKLOADS)
        argp_error(state, "--workload is missing");
    if (!bench_catalog_runs_with(options->workload, options->threads))
        argp_error(state, "%s needs one thread or an even number", bench_catalog[options->workload].name);
    if (bench_catalog[options->workload].memory && options->ops != 0)
        argp_error(state, "%s does a fixed amount of work, --ops has no meaning",
                   bench_catalog[options->workload].name);
}

static error_t parse(int key, char *value, struct argp_state *state)
{
    struct bench_options *options = state->input;
    switch (key) {
    case KEY_WORKLOAD:
        set_workload(state, value);
        break;
    case KEY_THREADS:
        options->threads = (unsigned)bench_argument_number(state, value, 1, BENCH_MAX_THREADS);
        break;
    case KEY_TIME:
        options->time_ms = (unsigned)bench_argument_number(state, value, 1, 3600000);
        break;
    case KEY_OPS:
        options->ops = bench_argument_number(state, value, 1, UINT64_MAX - 1);
        break;
    case KEY_SEED:
        options->seed = bench_argument_number(state, value, 0, UINT64_MAX);
        break;
    case KEY_TIMEOUT:
        options->timeout_s = (unsigned)bench_argument_number(state, value, 1, 86400);
        break;
    case KEY_PIN:
        options->pin = true;
        break;
    case KEY_IDENTIFY:
        identify();
        break;
    case ARGP_KEY_END:
        check(state);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static void on_timeout(int signal)
{
    (void)signal;
    static const char sentence[] = "bench-worker: gave up, the workload did not end within --timeout\n";
    if (write(STDERR_FILENO, sentence, sizeof(sentence) - 1) < 0)
        _exit(BENCH_EXIT_FAILED);
    _exit(BENCH_EXIT_TIMEOUT);
}

static void start_watchdog(unsigned seconds)
{
    struct sigaction action = {.sa_handler = on_timeout};
    sigaction(SIGALRM, &action, NULL);
    alarm(seconds);
}

/*
 * Should an allocator's appetite have no bound, then this
 * process is the one to go, not some other one of the machine's.
 */
static void volunteer_for_oom_killer(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t written = write(fd, "1000", 4);
    (void)written; /* a courtesy: the run is as good without it */
    close(fd);
}

static struct bench_result run(const struct bench_options *options)
{
    static const struct bench_workload *const workloads[BENCH_WORKLOADS] = {
        [BENCH_PAIR] = &bench_pair,         [BENCH_BATCH] = &bench_batch,   [BENCH_CHURN] = &bench_churn,
        [BENCH_EXCHANGE] = &bench_exchange, [BENCH_ONEWAY] = &bench_oneway, [BENCH_FALSESHARE] = &bench_falseshare,
        [BENCH_LARGE] = &bench_large,
    };
    if (bench_catalog[options->workload].memory)
        return bench_phases_run(options);
    long start_kib = bench_resident_kib();
    struct bench_result result = bench_timed_run(workloads[options->workload], options);
    result.peak_kib = bench_peak_resident_kib() - start_kib; /* with the threads and the harness's arrays */
    return result;
}

static void print(const struct bench_result *result)
{
    printf("library=%s ops=%" PRIu64 " ns_per_op=%.4f peak_kib=%ld", bench_binding_library(), result->ops,
           result->ns_per_op, result->peak_kib);
    if (result->live_kib != 0)
        printf(" live_kib=%ld end_kib=%ld", result->live_kib, result->end_kib);
    if (result->trimmed)
        printf(" trimmed_kib=%ld", result->trimmed_kib);
    printf("\n");
}

int main(int argc, char **argv)
{
    static const struct argp argp = {
        .options = option_table, .parser = parse, .doc = "One measurement of one allocator; aomalloc-bench runs many."};
    struct bench_options options = {.workload = BENCH_WORKLOADS,
                                    .threads = 1,
                                    .time_ms = 200,
                                    .timeout_s = BENCH_DEFAULT_TIMEOUT_S,
                                    .seed = BENCH_DEFAULT_SEED};

    argp_parse(&argp, argc, argv, 0, NULL, &options);
    volunteer_for_oom_killer();
    start_watchdog(options.timeout_s);
    bench_binding_start();
    struct bench_result result = run(&options);
    print(&result);
    return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
