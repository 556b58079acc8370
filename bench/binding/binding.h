/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * How a worker reaches the allocator it measures. Each folder here binds one kind of allocator: its bench_binding.h,
 * found by include path, defines
 *
 *     void *bench_malloc(size_t size);    the allocator's own call, nothing around it
 *     void bench_free(void *block);
 *     size_t bench_fit(size_t size);      size itself, or the next larger one that the allocator can serve
 *
 * as static inline functions, so that a worker makes the very calls that a program would make: through the shared
 * library's linkage where there is one. Workers are built without link-time optimisation and without knowledge of
 * malloc as a built-in, or the compiler would drop the pairs. Its binding.c defines the three functions below.
 */
#ifndef BENCH_BINDING_BINDING_H
#define BENCH_BINDING_BINDING_H

#include <stdbool.h>
#include <stddef.h>

/* Called once, before anything is measured. */
void bench_binding_start(void);

/* Asks the allocator to give free memory back to the operating system; false when it has no such call. */
bool bench_binding_trim(void);

/*
 * What really serves the calls: a variant, or the file name of
 * a library. The driver compares it with what it asked for.
 */
const char *bench_binding_library(void);

#endif /* BENCH_BINDING_BINDING_H */
