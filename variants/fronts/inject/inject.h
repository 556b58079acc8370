/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* Where tests get in. Empty in production: a test build finds a header of this name in its own folder first. */
#ifndef AOMA_FRONTS_INJECT_H
#define AOMA_FRONTS_INJECT_H

/* The number of the CPU for the heaps, which a test may replace by any other. (Not that of the fronts.) */
#define AOMA_INJECT_NUMBER(cpu) (cpu)

/* What the kernel says of the size of its fields, <sys/auxv.h>. */
#define AOMA_INJECT_FEATURE_SIZE(size) (size)

/*
 * A window begins here, which a test may stretch:
 *   busy       a transfer place is in this thread's hands
 *   making     a front is made but not attached
 *   detached   a front was detached; sections may still be under way on it
 *   emptying   none is any more
 *   resting    an empty one may be idle: claims were looked at, tops will be
 *   emptied    before it is attached again
 */
#define AOMA_INJECT(window) ((void)0)

#endif /* AOMA_FRONTS_INJECT_H */
