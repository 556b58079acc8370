/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* One measurement of one variant, in a process of its own. Prints one line of key=value pairs for the driver. */
#include "aomalloc.h"
#include "argument.h"
#include "binding.h"
#include "catalog.h"
#include "variants.h"

#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct measure {
    const char *name;
    void (*run)(const struct variants_options *options);
    struct variants_options by_default;
} measures[] = {
    {"chain", variants_chain, {.threads = 4, .rounds = 300000}},
    {"idle", variants_idle, {.threads = 100, .blocks = 48, .rounds = 4}},
    {"storm", variants_storm, {.threads = 4, .blocks = 48, .rounds = 2500}},
    {"handler", variants_handler, {.threads = 1, .blocks = 1000, .rounds = 50000, .rate_hz = 10000}},
};

#define MEASURES (sizeof(measures) / sizeof(measures[0]))

enum key { KEY_THREADS = 't', KEY_BLOCKS = 'b', KEY_ROUNDS = 'r', KEY_FIFO = 'f', KEY_TIMEOUT = 'x' };

static const struct argp_option option_table[] = {
    {"threads", KEY_THREADS, "N", 0,
     "Threads; handler: the one that gets the signals, and others beside it; chain: stages", 0},
    {"blocks", KEY_BLOCKS, "N", 0, "Blocks of 16 to 1024 bytes that each thread has at once", 0},
    {"rounds", KEY_ROUNDS, "N", 0, "Of each thread; storm: threads that each starts; handler: signals; chain: blocks",
     0},
    {"fifo", KEY_FIFO, "PRIORITY", 0, "handler: its thread is a SCHED_FIFO one", 0},
    {"timeout", KEY_TIMEOUT, "S", 0, "Give up after that many seconds (default 120)", 0},
    {0}};

static struct variants_options given; /* 0: the measure's default */
static const struct measure *measure;
static unsigned timeout_s = 120;

static error_t parse(int key, char *value, struct argp_state *state)
{
    switch (key) {
    case KEY_THREADS:
        given.threads = (unsigned)bench_argument_number(state, value, 1, 100000);
        break;
    case KEY_BLOCKS:
        given.blocks = (unsigned)bench_argument_number(state, value, 1, 1000);
        break;
    case KEY_ROUNDS:
        given.rounds = (unsigned)bench_argument_number(state, value, 1, 10000000);
        break;
    case KEY_FIFO:
        given.priority = (unsigned)bench_argument_number(state, value, 1, 99);
        break;
    case KEY_TIMEOUT:
        timeout_s = (unsigned)bench_argument_number(state, value, 1, 86400);
        break;
    case ARGP_KEY_ARG:
        for (size_t i = 0; i < MEASURES; i++)
            if (strcmp(value, measures[i].name) == 0)
                measure = &measures[i];
        break;
    case ARGP_KEY_END:
        if (measure == NULL)
            argp_error(state, "name a measure: chain, idle, storm or handler");
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

int main(int argc, char **argv)
{
    static const struct argp argp = {.options = option_table, .parser = parse, .args_doc = "chain|idle|storm|handler"};

    argp_parse(&argp, argc, argv, 0, NULL, NULL);
    struct variants_options options = measure->by_default;
    options.threads = given.threads ? given.threads : options.threads;
    options.blocks = given.blocks ? given.blocks : options.blocks;
    options.rounds = given.rounds ? given.rounds : options.rounds;
    options.priority = given.priority;
    alarm(timeout_s); /* ends the process */
    bench_binding_start();
    measure->run(&options);
    printf(" variant=%s mode=%.4s\n", AO_malloc_variant(), AO_malloc_mode());
    return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
