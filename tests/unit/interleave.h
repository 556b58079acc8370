/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * What another thread may do between two steps of an operation, tried out at every place: the operation is stepped
 * through, and after each of its instructions a copy of the process (fork) lets the intruder do all of its work there,
 * finishes the operation and verifies. Finds what needs one other thread in one window, however narrow; what needs more
 * is left to the stress tests.
 */
#ifndef AOMALLOC_TEST_INTERLEAVE_H
#define AOMALLOC_TEST_INTERLEAVE_H

/*
 * The state to begin with is what the caller has prepared; all three work on it without arguments. intruder must be
 * AS-safe. Skips the test where single steps are not to be had.
 */
void interleave(void (*operation)(void), void (*intruder)(void), void (*verify)(void));

/* For long operations: in about one place of so many, chosen by the test's seed; everywhere with test_long(). */
void interleave_sparsely(unsigned one_in, void (*operation)(void), void (*intruder)(void), void (*verify)(void));

#endif /* AOMALLOC_TEST_INTERLEAVE_H */
