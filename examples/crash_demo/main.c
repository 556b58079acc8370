/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */
/* Crashes in the way that --how names, to show what a report says about it. */
#include <getopt.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "demo.h"

static const struct {
    const char *name;
    void (*crash)(void);
} ways[] = {
    {"segv", crash_segv},
    {"abort", crash_abort},
    {"fpe", crash_fpe},
    {"bus", crash_bus},
    {"ill", crash_ill},
    {"null-call", crash_null_call},
    {"stack-overflow", crash_stack_overflow},
    {"smashed-stack", crash_smashed_stack},
    {"after-vfork", crash_after_vfork},
    {"twice", crash_twice},
    {"in-malloc", crash_in_malloc},
    {"loader-lock", crash_under_loader_lock},
};

enum { WAY_COUNT = sizeof(ways) / sizeof(ways[0]) };

static void print_usage(FILE *file)
{
    fputs("usage: crash_demo --how WAY [--thread]\n"
          "  -H, --how WAY   one of:",
          file);
    for (int i = 0; i < WAY_COUNT; i++)
        fprintf(file, " %s", ways[i].name);
    fputs("\n"
          "  -t, --thread    in a second thread\n"
          "  -h, --help      this text\n",
          file);
}

static void (*find_way(const char *name))(void)
{
    for (int i = 0; i < WAY_COUNT; i++)
        if (strcmp(ways[i].name, name) == 0)
            return ways[i].crash;
    fprintf(stderr, "crash_demo: no such way to crash: %s\n", name);
    print_usage(stderr);
    exit(2);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"how", required_argument, NULL, 'H'},
        {"thread", no_argument, NULL, 't'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    void (*crash)(void) = NULL;
    bool in_thread = false;
    int option;
    while ((option = getopt_long(argc, argv, "H:th", options, NULL)) != -1) {
        if (option == 'H')
            crash = find_way(optarg);
        else if (option == 't')
            in_thread = true;
        else
            return print_usage(option == 'h' ? stdout : stderr), option == 'h' ? 0 : 2;
    }
    if (!crash || optind != argc)
        return print_usage(stderr), 2;
    start_worker(in_thread ? crash : NULL);
    crash();
    return 1;
}
