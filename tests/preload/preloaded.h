/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* What was preloaded into this program. It is not linked with aomalloc, so it has to look. */
#ifndef AOMALLOC_TEST_PRELOADED_H
#define AOMALLOC_TEST_PRELOADED_H

#include <stdbool.h>

/* To be converted to the function's own type. */
typedef void any_function(void);

/* The function of this name in a library that was loaded; fails the test if there is none. */
any_function *function_in(void *library, const char *name);

/* The one that the program's own references find. */
any_function *preloaded_function(const char *name);

/* Whether it comes from libaomalloc-preload. */
bool preloaded_defines(const char *name);

/* AO_malloc_variant(). */
const char *preloaded_variant(void);

#endif /* AOMALLOC_TEST_PRELOADED_H */
