/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* The program that is to be run: where it is, and whether the dynamic loader will put a library under it. */
#ifndef AOMALLOC_RUN_PROGRAM_H
#define AOMALLOC_RUN_PROGRAM_H

#include <limits.h>

struct program {
    char path[PATH_MAX]; /* with a slash */
    char file[PATH_MAX]; /* what the kernel loads: the same, or the interpreter of a script */
};

/* As execvp() would find it. 0, or ENOENT, EACCES, ENAMETOOLONG. */
int program_find(const char *name, struct program *program);

/*
 * Why the library would not be loaded into it, or NULL. Where that cannot be told, because the file may be executed but
 * not read, there is no reason either. Sets program->file.
 */
const char *program_obstacle(struct program *program, const char *library);

#endif /* AOMALLOC_RUN_PROGRAM_H */
