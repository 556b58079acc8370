/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* One simulation of one variant. Prints one line of key=value pairs. */
#include "simulation.h"

#include "aomalloc.h"
#include "argument.h"
#include "binding.h"
#include "harness.h"

#include <argp.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum key { KEY_WORKLOAD = 'w', KEY_CPUS = 'c', KEY_OPS = 'o', KEY_OVERLAP = 'v', KEY_SEED = 's', KEY_MODE = 'm' };

static const struct argp_option option_table[] = {
    {"workload", KEY_WORKLOAD, "NAME", 0, "pair, batch, churn, exchange, oneway or falseshare", 0},
    {"cpus", KEY_CPUS, "N", 0, "Virtual CPUs (default 1)", 0},
    {"ops", KEY_OPS, "N", 0, "Operations per CPU that are counted, after as many of warm-up (default 20000)", 0},
    {"overlap", KEY_OVERLAP, NULL, 0, "Switch CPUs before each read-modify-write too, not only between calls", 0},
    {"seed", KEY_SEED, "N", 0, "Seed of the order, and of the random sizes and slots", 0},
    {"mode", KEY_MODE, "NAME", 0, "Skip if AO_malloc_mode does not begin so (default: as the variant works best)", 0},
    {0}};

static const struct bench_workload *const workloads[BENCH_WORKLOADS] = {
    [BENCH_PAIR] = &bench_pair,         [BENCH_BATCH] = &bench_batch,   [BENCH_CHURN] = &bench_churn,
    [BENCH_EXCHANGE] = &bench_exchange, [BENCH_ONEWAY] = &bench_oneway, [BENCH_FALSESHARE] = &bench_falseshare,
};

struct request {
    struct bench_simulation simulation;
    int workload;
    const char *mode;
};

_Noreturn void bench_fail(int status, const char *sentence)
{
    dprintf(STDERR_FILENO, "bench-simulate (%s): %s\n", bench_binding_library(), sentence);
    _exit(status);
}

static void check(struct argp_state *state)
{
    struct request *request = state->input;
    if (request->workload < 0 || workloads[request->workload] == NULL)
        argp_error(state, "--workload is missing, or it has no such workload");
    else
        request->simulation.workload = workloads[request->workload];
    if (!bench_catalog_runs_with((enum bench_workload_id)request->workload, request->simulation.cpus))
        argp_error(state, "%s needs one CPU or an even number", bench_catalog[request->workload].name);
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct request *request = state->input;
    struct bench_simulation *simulation = &request->simulation;
    switch (key) {
    case KEY_WORKLOAD:
        request->workload = bench_catalog_find(text);
        break;
    case KEY_CPUS:
        simulation->cpus = (unsigned)bench_argument_number(state, text, 1, BENCH_MAX_THREADS);
        break;
    case KEY_OPS:
        simulation->ops = bench_argument_number(state, text, 1, UINT32_MAX);
        break;
    case KEY_OVERLAP:
        simulation->overlap = true;
        break;
    case KEY_SEED:
        simulation->seed = bench_argument_number(state, text, 0, UINT32_MAX);
        break;
    case KEY_MODE:
        request->mode = text;
        break;
    case ARGP_KEY_END:
        check(state);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

int main(int argc, char **argv)
{
    static const struct argp argp = {
        .options = option_table, .parser = parse, .doc = "Counts the writes that virtual CPUs have in common."};
    struct request request = {
        .simulation = {.cpus = 1, .ops = 20000, .seed = BENCH_DEFAULT_SEED}, .workload = -1, .mode = bench_cpu_mode};
    struct bench_simulation *simulation = &request.simulation;

    argp_parse(&argp, argc, argv, 0, NULL, &request);
    simulation->ops *= simulation->cpus;
    bench_binding_start();
    if (strncmp(AO_malloc_mode(), request.mode, strlen(request.mode)) != 0)
        bench_fail(BENCH_SIMULATION_SKIPPED, AO_malloc_mode());
    bench_cpu_start();
    struct bench_writes writes = bench_simulate(simulation);
    double ops = (double)simulation->ops;
    printf("variant=%s mode=%.4s workload=%s cpus=%u overlap=%d ops=%" PRIu64
           " rmw_per_op=%.5f contended_per_op=%.5f moved_per_op=%.5f hottest_per_op=%.5f blocks_per_op=%.5f\n",
           bench_binding_library(), AO_malloc_mode(), bench_catalog[request.workload].name, simulation->cpus,
           simulation->overlap, simulation->ops, (double)writes.rmw / ops, (double)writes.contended / ops,
           (double)writes.moved / ops, writes.hottest, (double)writes.blocks / ops);
    return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
