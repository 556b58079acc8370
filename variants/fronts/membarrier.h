/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

#ifndef AOMA_FRONTS_MEMBARRIER_H
#define AOMA_FRONTS_MEMBARRIER_H

#include <errno.h>
#include <linux/membarrier.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "compiler.h"

/* A system call that keeps errno; needs _GNU_SOURCE. */
AOMA_INLINE bool aoma_membarrier(int command)
{
    int *error = &errno;
    int saved = *error;
    bool done = syscall(SYS_membarrier, command, 0, 0) == 0;

    *error = saved;
    return done;
}

#endif /* AOMA_FRONTS_MEMBARRIER_H */
