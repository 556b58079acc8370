/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* aomalloc-run: runs a program with the preload library of a variant under it, or says why that cannot be. */

#include "library.h"
#include "program.h"

#include <argp.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* As those of env(1). */
enum { STATUS_OWN_FAILURE = 125, STATUS_CANNOT_RUN = 126, STATUS_NOT_FOUND = 127 };

struct arguments {
    const char *variant;
    bool stats;
    char **program;
};

const char *argp_program_version = "aomalloc-run " RUN_VERSION;

/* NOLINTNEXTLINE(readability-non-const-parameter): argp's type */
static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct arguments *arguments = state->input;

    switch (key) {
    case 'v':
        arguments->variant = argument;
        return 0;
    case 's':
        arguments->stats = true;
        return 0;
    case ARGP_KEY_ARG: /* the rest is the program's */
        arguments->program = &state->argv[state->next - 1];
        state->next = state->argc;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "which program?");
        return EINVAL;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options[] = {
    {"variant", 'v', "V", 0, "Variant of aomalloc: " RUN_VARIANTS "; default: " RUN_VARIANT, 0},
    {"stats", 's', NULL, 0, "Each process that ends by exit() says on standard error what its heap was", 0},
    {0},
};

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "PROGRAM [ARGUMENT...]",
    .doc = "Runs PROGRAM with aomalloc in place of the C library's malloc.",
};

__attribute__((noreturn, format(printf, 2, 3))) static void fail(int status, const char *format, ...)
{
    va_list list;

    fputs("aomalloc-run: ", stderr);
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
    exit(status);
}

static void find_library(const char *variant, char library[PATH_MAX])
{
    if (!*variant || strchr(variant, '/') || !library_find(variant, library))
        fail(STATUS_OWN_FAILURE, "no library for variant \"%s\" (there may be: " RUN_VARIANTS ")", variant);
    if (!library_can_be_named(library))
        fail(STATUS_OWN_FAILURE, "%s: cannot be in LD_PRELOAD with a blank or colon in its name", library);
}

static void find_program(const char *name, const char *library, struct program *program)
{
    int error = program_find(name, program);

    if (error)
        fail(error == ENOENT ? STATUS_NOT_FOUND : STATUS_CANNOT_RUN, "%s: %s", name, strerror(error));
    const char *obstacle = program_obstacle(program, library);
    if (obstacle && strcmp(program->path, program->file) != 0)
        fail(STATUS_CANNOT_RUN, "%s: its interpreter %s is %s", program->path, program->file, obstacle);
    if (obstacle)
        fail(STATUS_CANNOT_RUN, "%s: %s", program->path, obstacle);
}

/* After execvp(): the kernel may know more than we do. */
__attribute__((noreturn)) static void fail_to_run(int error, const struct program *program)
{
    int status = error == ENOENT ? STATUS_NOT_FOUND : STATUS_CANNOT_RUN;

    if (strcmp(program->path, program->file) != 0)
        fail(status, "%s: its interpreter %s: %s", program->path, program->file, strerror(error));
    fail(status, "%s: %s", program->path, strerror(error));
}

int main(int count, char **values)
{
    struct arguments arguments = {.variant = RUN_VARIANT};
    char library[PATH_MAX];
    struct program program;

    argp_err_exit_status = STATUS_OWN_FAILURE;
    if (argp_parse(&argp, count, values, ARGP_IN_ORDER, NULL, &arguments) != 0)
        return STATUS_OWN_FAILURE;
    find_library(arguments.variant, library);
    find_program(arguments.program[0], library, &program);
    if (!library_preload(library) || (arguments.stats && setenv("AOMALLOC_STATS", "1", 1) != 0))
        fail(STATUS_OWN_FAILURE, "%s", strerror(errno));
    execvp(program.path, arguments.program);
    fail_to_run(errno, &program);
}
