/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * The allocators that can take part: worker binaries beside this
 * one, and libraries of the system to preload into one of them.
 */
#include "driver.h"

#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct known {
    const char *name;
    const char *summary;
    const char *worker;   /* name of the binary after "bench-worker-" */
    const char *files[3]; /* for LD_PRELOAD: names to look for, the best first */
    const char *package;  /* where to get it, as Debian calls it */
};

/* BENCH_VARIANTS: the variants of this build in this form, from meson.build. */
static const struct known known[] = {
    BENCH_VARIANTS,
    {BENCH_REFERENCE_NAME, "libatomic_ops' AO_malloc", "reference", {NULL}, "libatomic-ops-dev, before building"},
    {BENCH_LIBC_NAME, "the C library's malloc", "system", {NULL}, NULL},
    {"mimalloc", "mimalloc, preloaded", "system", {"libmimalloc.so.[0-9]", "libmimalloc.so"}, "libmimalloc2.0"},
    {"jemalloc", "jemalloc, preloaded", "system", {"libjemalloc.so.[0-9]", "libjemalloc.so"}, "libjemalloc2"},
    {"tcmalloc",
     "tcmalloc (gperftools), preloaded",
     "system",
     {"libtcmalloc_minimal.so.[0-9]", "libtcmalloc.so.[0-9]", "libtcmalloc_minimal.so"},
     "libtcmalloc-minimal4"},
};

#define KNOWN (sizeof(known) / sizeof(known[0]))

static const char *const library_dirs[] = {"/usr/local/lib", "/usr/local/lib/*", "/usr/lib/*", "/usr/lib64",
                                           "/usr/lib"};

static char *joined(const char *dir, const char *middle, const char *name)
{
    char *path;
    if (asprintf(&path, "%s%s%s", dir, middle, name) < 0) {
        fputs("aomalloc-bench: out of memory\n", stderr);
        exit(EXIT_FAILURE);
    }
    return path;
}

/*
 * Whether the worker, with this library preloaded, is served by it. Only a run can tell: the directories may hold
 * libraries for other machines, and the dynamic linker goes on without one that it cannot load.
 */
static bool serves(struct bench_contender *contender, const char *library)
{
    char *answer = bench_spawn_identify(contender->worker, library);
    const char *slash = strrchr(library, '/');
    if (answer == NULL || strcmp(answer, slash + 1) != 0) {
        free(answer);
        return false;
    }
    contender->preload = joined(library, "", "");
    contender->library = answer;
    return true;
}

static bool serves_any(struct bench_contender *contender, const char *dir, const char *file)
{
    glob_t matches;
    bool found = false;
    char *pattern = joined(dir, "/", file);
    if (glob(pattern, 0, NULL, &matches) == 0) {
        for (size_t i = 0; i < matches.gl_pathc && !found; i++)
            found = serves(contender, matches.gl_pathv[i]);
        globfree(&matches);
    }
    free(pattern);
    return found;
}

static bool find_library(struct bench_contender *contender, const struct known *entry)
{
    for (size_t file = 0; file < 3 && entry->files[file] != NULL; file++)
        for (size_t dir = 0; dir < sizeof(library_dirs) / sizeof(library_dirs[0]); dir++)
            if (serves_any(contender, library_dirs[dir], entry->files[file]))
                return true;
    return false;
}

static void say_missing(const struct known *entry, const char *worker)
{
    if (access(worker, X_OK) == 0)
        fprintf(stderr, "aomalloc-bench: %s is left out: its shared library was not found; Debian package %s\n",
                entry->name, entry->package);
    else if (entry->files[0] == NULL && entry->package != NULL)
        fprintf(stderr, "aomalloc-bench: %s is left out: its worker was not built; Debian package %s\n", entry->name,
                entry->package);
    else
        fprintf(stderr, "aomalloc-bench: %s is left out: its worker %s was not found\n", entry->name, worker);
}

static bool find(struct bench_contender *contender, const struct known *entry)
{
    if (access(contender->worker, X_OK) != 0)
        return false;
    if (entry->files[0] != NULL)
        return find_library(contender, entry);
    contender->library = bench_spawn_identify(contender->worker, NULL);
    return contender->library != NULL;
}

static enum bench_found add(struct bench_plan *plan, const struct known *entry)
{
    struct bench_contender contender = {.name = entry->name, .summary = entry->summary};
    contender.worker = joined(plan->worker_dir, "/bench-worker-", entry->worker);
    if (!find(&contender, entry)) {
        say_missing(entry, contender.worker);
        free(contender.worker);
        return BENCH_MISSING;
    }
    if (plan->contender_count < BENCH_MAX_CONTENDERS)
        plan->contenders[plan->contender_count++] = contender;
    return BENCH_FOUND;
}

static bool already_in(const struct bench_plan *plan, const char *name)
{
    for (unsigned i = 0; i < plan->contender_count; i++)
        if (strcmp(plan->contenders[i].name, name) == 0)
            return true;
    return false;
}

enum bench_found bench_contender_add(struct bench_plan *plan, const char *name)
{
    if (already_in(plan, name))
        return BENCH_FOUND;
    for (size_t i = 0; i < KNOWN; i++)
        if (strcmp(known[i].name, name) == 0)
            return add(plan, &known[i]);
    return BENCH_UNKNOWN;
}

void bench_contender_add_all(struct bench_plan *plan)
{
    for (size_t i = 0; i < KNOWN; i++)
        add(plan, &known[i]);
}

void bench_contender_list(FILE *out)
{
    for (size_t i = 0; i < KNOWN; i++)
        fprintf(out, "  %-15s%s\n", known[i].name, known[i].summary);
}
