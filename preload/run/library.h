/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* The library to preload: where it is, and what LD_PRELOAD is to be. */
#ifndef AOMALLOC_RUN_LIBRARY_H
#define AOMALLOC_RUN_LIBRARY_H

#include <limits.h>
#include <stdbool.h>

/* The path of a variant's library; false if there is none, then path is where it was looked for last. */
bool library_find(const char *variant, char path[PATH_MAX]);

/*
 * Whether LD_PRELOAD can name it: there is no way to write a blank or colon there.
 */
bool library_can_be_named(const char *path);

/* Puts it first in LD_PRELOAD, and takes out what an outer aomalloc-run has put there; false: no memory. */
bool library_preload(const char *path);

#endif /* AOMALLOC_RUN_LIBRARY_H */
