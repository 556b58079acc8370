/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* Runs a function in a forked child and tells how it ended. */
#ifndef AOMALLOC_TEST_CHILD_H
#define AOMALLOC_TEST_CHILD_H

#include <stddef.h>

enum child_stderr { CHILD_STDERR_SHARED, CHILD_STDERR_CAPTURED };

struct child_result {
    int status;        /* as from waitpid() */
    size_t length;     /* of what it wrote to fd 2, when captured */
    char output[2048]; /* its beginning, with a terminating 0 */
};

/* The child ends with status 0 when run returns. */
void child_run(void (*run)(void *), void *argument, enum child_stderr mode, struct child_result *result);

/* Fails the test, saying how the child ended, unless it exited with 0. */
void child_assert_exited(const struct child_result *result);

#endif /* AOMALLOC_TEST_CHILD_H */
