/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* The resident memory of this process, read without allocating. */
#ifndef BENCH_WORKER_MEMORY_H
#define BENCH_WORKER_MEMORY_H

/* Now, and the most there ever was, in KiB; -1 where /proc does not tell. */
long bench_resident_kib(void);
long bench_peak_resident_kib(void);

/* Zeroed memory of the harness's own, all of it resident at once so that it never shows up as growth. */
void *bench_map_resident(unsigned long bytes);

#endif /* BENCH_WORKER_MEMORY_H */
