/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* What the tests of variant percpu share. They link a build of it of their own, with injection points. */
#ifndef AOMALLOC_TEST_PERCPU_H
#define AOMALLOC_TEST_PERCPU_H

#include "inject.h"
#include "test.h"

#include <stddef.h>

/* Enables mmap; ends the test as skipped where there are no fronts. */
void require_fronts(void);

/* Blocks of all classes that are neither free in their runs nor in fronts or transfer places. Exact when nobody else is
 * inside the library. */
size_t blocks_out(void);

/* Empties fronts and places; nothing of them may be left, and so many blocks may be out. */
void assert_accounted(size_t out);

#endif /* AOMALLOC_TEST_PERCPU_H */
