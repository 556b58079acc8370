/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Whether the static heap is whole again. When everything is freed it holds exactly as many blocks as that of a new
 * process: a single block that was lost keeps a run from being empty, which makes it fewer.
 */
#ifndef AOMALLOC_TEST_WHOLE_H
#define AOMALLOC_TEST_WHOLE_H

/* Counts them in a child, which leaves this process new. To be called before the first AO_ call. */
void whole_measure(void);

/* Fails the test if there are not as many now. Sets the limit to 0, so that nothing is mapped. */
void whole_assert(void);

/* The same where the heap may have grown by mmap: as many, and all of some windows. */
void whole_assert_with_windows(void);

#endif /* AOMALLOC_TEST_WHOLE_H */
