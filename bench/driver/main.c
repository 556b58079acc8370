/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* Options and the loop over rounds. */
#include "argument.h"
#include "driver.h"

#include <argp.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum key {
    KEY_WORKLOAD = 'w',
    KEY_THREADS = 't',
    KEY_ALLOCATORS = 'a',
    KEY_ROUNDS = 'r',
    KEY_TIME = 'm',
    KEY_CSV = 'c',
    KEY_LIST = 'l',
    KEY_SEED = 's',
    KEY_PIN = 'p',
    KEY_TIMEOUT = 'x',
    KEY_WORKERS = 'd'
};

struct request {
    struct bench_plan plan;
    char *allocators; /* as given; they are looked for when --workers is known */
    const char *csv;
};

static const char doc[] =
    "Compares malloc implementations: every variant of aomalloc, libatomic_ops' AO_malloc, the C library's malloc and"
    " the preloadable ones that are installed. Every measurement is a process of its own; in each round all allocators"
    " take their turn in rotating order, so that whatever else the machine does falls on all of them."
    "\v"
    "Numbers are wall time divided by the operations of one thread, an operation being one malloc plus one free.\n\n"
    "The CSV file has one line per workload, thread count, allocator and metric, with the columns\n"
    "  workload,threads,allocator,metric  what was measured\n"
    "  samples                            rounds that gave a value\n"
    "  median,min,q1,q3,max               of these values; q1, q3: quartiles\n"
    "  vs_reference,vs_libc               median divided by that of libatomic_ops\n"
    "                                     or of the C library; may be empty\n"
    "Metrics: ns_per_op; peak_kib, the most KiB resident above the start; and, for phases and phases-mixed, without the"
    " harness's own memory in it, also end_kib (all is freed), trimmed_kib"
    " (after the allocator's own call to give memory back), each also divided by the live bytes: peak_per_live,"
    " end_per_live, trimmed_per_live.\n\n"
    "Exit status: 0 when all asked for was measured, 1 when something failed, 64 for wrong usage.";

static const struct argp_option option_table[] = {
    {"workload", KEY_WORKLOAD, "LIST", 0, "Workloads, separated by commas (default: all)", 0},
    {"threads", KEY_THREADS, "LIST", 0, "Numbers of threads (default 1,2,4)", 0},
    {"allocators", KEY_ALLOCATORS, "LIST", 0, "Allocators (default: all that are found)", 0},
    {"rounds", KEY_ROUNDS, "N", 0, "Measurements of each kind (default 7)", 0},
    {"time", KEY_TIME, "MS", 0,
     "Milliseconds per measurement (default 200); phases and phases-mixed do a fixed amount of work instead", 0},
    {"csv", KEY_CSV, "FILE", 0, "Write all results there too", 0},
    {"list", KEY_LIST, NULL, 0, "List workloads and allocators, and do nothing", 0},
    {"seed", KEY_SEED, "N", 0, "Seed of the random sizes and slots", 0},
    {"pin", KEY_PIN, NULL, 0,
     "Pin threads to CPUs in turn; else the kernel may keep the two sides of oneway on one CPU, or apart", 0},
    {"timeout", KEY_TIMEOUT, "S", 0, "Give a measurement up after that many seconds (default 60)", 0},
    {"workers", KEY_WORKERS, "DIR", 0, "Where the bench-worker programs are (default: beside this one)", 0},
    {0}};

static void add_workload(struct argp_state *state, struct bench_plan *plan, const char *name)
{
    int workload = bench_catalog_find(name);
    if (workload < 0)
        argp_error(state, "there is no workload '%s'; --list names them", name);
    for (unsigned i = 0; i < plan->workload_count; i++)
        if (plan->workloads[i] == (enum bench_workload_id)workload)
            return;
    plan->workloads[plan->workload_count++] = (enum bench_workload_id)workload;
}

static void add_threads(struct argp_state *state, struct bench_plan *plan, const char *text)
{
    unsigned threads = (unsigned)bench_argument_number(state, text, 1, BENCH_MAX_THREADS);
    if (plan->thread_count == BENCH_MAX_THREAD_COUNTS)
        argp_error(state, "more than %d numbers of threads", BENCH_MAX_THREAD_COUNTS);
    plan->threads[plan->thread_count++] = threads;
}

static void add_allocator(struct argp_state *state, struct bench_plan *plan, const char *name)
{
    switch (bench_contender_add(plan, name)) {
    case BENCH_FOUND:
        break;
    case BENCH_MISSING:
        argp_failure(state, EXIT_FAILURE, 0, "%s was asked for by name and is not there", name);
        break;
    case BENCH_UNKNOWN:
        argp_error(state, "there is no allocator '%s'; --list names them", name);
    }
}

static void each(struct argp_state *state, char *list,
                 void (*add)(struct argp_state *, struct bench_plan *, const char *))
{
    struct request *request = state->input;
    char *rest = list;
    for (char *item; (item = strsep(&rest, ",")) != NULL;)
        add(state, &request->plan, item);
}

static void list(void)
{
    puts("Workloads:");
    for (int i = 0; i < BENCH_WORKLOADS; i++)
        printf("  %-15s%s\n", bench_catalog[i].name, bench_catalog[i].summary);
    puts("Allocators:");
    bench_contender_list(stdout);
    exit(EXIT_SUCCESS);
}

static const char *own_directory(struct argp_state *state)
{
    static char path[4096];
    ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
    char *slash = length > 0 ? memrchr(path, '/', (size_t)length) : NULL;
    if (slash == NULL)
        argp_failure(state, EXIT_FAILURE, 0, "the directory of this program is not known, give --workers");
    else
        *slash = '\0';
    return path;
}

static void set_defaults(struct argp_state *state)
{
    struct request *request = state->input;
    struct bench_plan *plan = &request->plan;
    if (plan->workload_count == 0)
        for (int i = 0; i < BENCH_WORKLOADS; i++)
            plan->workloads[plan->workload_count++] = (enum bench_workload_id)i;
    if (plan->thread_count == 0)
        for (unsigned threads = 1; threads <= 4; threads *= 2)
            plan->threads[plan->thread_count++] = threads;
    if (plan->timeout_s * 1000ull < plan->time_ms * 2ull)
        argp_error(state, "--timeout must be at least twice --time, as there is a warm-up too");
    if (plan->worker_dir == NULL)
        plan->worker_dir = own_directory(state);
    if (request->allocators != NULL)
        each(state, request->allocators, add_allocator);
    else
        bench_contender_add_all(plan);
    if (plan->contender_count == 0)
        argp_failure(state, EXIT_FAILURE, 0, "no bench-worker program in %s", plan->worker_dir);
}

static error_t parse(int key, char *value, struct argp_state *state)
{
    struct request *request = state->input;
    switch (key) {
    case KEY_WORKLOAD:
        each(state, value, add_workload);
        break;
    case KEY_THREADS:
        each(state, value, add_threads);
        break;
    case KEY_ALLOCATORS:
        request->allocators = value;
        break;
    case KEY_ROUNDS:
        request->plan.rounds = (unsigned)bench_argument_number(state, value, 1, 10000);
        break;
    case KEY_TIME:
        request->plan.time_ms = (unsigned)bench_argument_number(state, value, 1, 600000);
        break;
    case KEY_CSV:
        request->csv = value;
        break;
    case KEY_LIST:
        list();
        break;
    case KEY_SEED:
        request->plan.seed = bench_argument_number(state, value, 0, UINT64_MAX);
        break;
    case KEY_PIN:
        request->plan.pin = true;
        break;
    case KEY_TIMEOUT:
        request->plan.timeout_s = (unsigned)bench_argument_number(state, value, 1, 86400);
        break;
    case KEY_WORKERS:
        request->plan.worker_dir = value;
        break;
    case ARGP_KEY_END:
        set_defaults(state);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static void show_progress(const struct bench_plan *plan, unsigned round, unsigned workload, unsigned threads)
{
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r\033[Kround %u of %u: %s, %u threads ", round + 1, plan->rounds,
                bench_catalog[plan->workloads[workload]].name, plan->threads[threads]);
}

static void clear_progress(void)
{
    if (isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
}

/* All contenders in one workload, beginning with another one in each round. Returns how many failed. */
static unsigned run_contenders(const struct bench_plan *plan, unsigned round, unsigned workload, unsigned threads)
{
    unsigned failures = 0;
    for (unsigned i = 0; i < plan->contender_count; i++) {
        unsigned contender = (i + round) % plan->contender_count;
        struct bench_sample sample;
        if (bench_spawn(plan, &plan->contenders[contender], plan->workloads[workload], plan->threads[threads], &sample))
            bench_samples_add(plan, contender, workload, threads, &sample);
        else
            failures++;
    }
    return failures;
}

static unsigned run_round(const struct bench_plan *plan, unsigned round)
{
    unsigned failures = 0;
    for (unsigned workload = 0; workload < plan->workload_count; workload++)
        for (unsigned threads = 0; threads < plan->thread_count; threads++)
            if (bench_catalog_runs_with(plan->workloads[workload], plan->threads[threads])) {
                show_progress(plan, round, workload, threads);
                failures += run_contenders(plan, round, workload, threads);
            }
    return failures;
}

static FILE *open_csv(const char *path)
{
    FILE *csv = fopen(path, "w");
    if (csv == NULL) {
        fprintf(stderr, "aomalloc-bench: %s could not be written: %s\n", path, strerror(errno));
        exit(EXIT_FAILURE);
    }
    return csv;
}

static void write_csv(const struct bench_plan *plan, FILE *csv, const char *path)
{
    bench_csv(plan, csv);
    if (ferror(csv) || fclose(csv) != 0) {
        fprintf(stderr, "aomalloc-bench: %s could not be written\n", path);
        exit(EXIT_FAILURE);
    }
}

int main(int argc, char **argv)
{
    static const struct argp argp = {.options = option_table, .parser = parse, .doc = doc};
    static struct request request = {
        .plan = {.rounds = 7, .time_ms = 200, .timeout_s = BENCH_DEFAULT_TIMEOUT_S, .seed = BENCH_DEFAULT_SEED}};
    struct bench_plan *plan = &request.plan;
    unsigned failures = 0;

    argp_parse(&argp, argc, argv, 0, NULL, &request);
    FILE *csv = request.csv != NULL ? open_csv(request.csv) : NULL; /* now, not when an hour's work is done */
    if (!bench_samples_reserve(plan)) {
        fputs("aomalloc-bench: out of memory\n", stderr);
        return EXIT_FAILURE;
    }
    bench_report_head(plan, stdout);
    for (unsigned round = 0; round < plan->rounds; round++)
        failures += run_round(plan, round);
    clear_progress();
    bench_report(plan, stdout);
    if (csv != NULL)
        write_csv(plan, csv, request.csv);
    if (failures != 0)
        fprintf(stderr, "aomalloc-bench: %u measurements failed, see above\n", failures);
    return failures == 0 && fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
