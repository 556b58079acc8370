/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* The test build's version of variants/fronts/inject/inject.h, which says what these are for. */
#ifndef AOMALLOC_TEST_FRONTS_INJECT_H
#define AOMALLOC_TEST_FRONTS_INJECT_H

enum inject_window { busy, making, detached, emptying, resting, emptied, INJECT_WINDOWS };

/* NULL: as in production. */
extern unsigned (*inject_number)(unsigned number);
extern void (*inject_window)(enum inject_window window);
extern int inject_old_kernel; /* without mm_cid */

#define AOMA_INJECT_NUMBER(number) (inject_number ? inject_number(number) : (number))
#define AOMA_INJECT_FEATURE_SIZE(size) (inject_old_kernel ? 0 : (size))
#define AOMA_INJECT(window) (inject_window ? inject_window(window) : (void)0)

#endif /* AOMALLOC_TEST_FRONTS_INJECT_H */
