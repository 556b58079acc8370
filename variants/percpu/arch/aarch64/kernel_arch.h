/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* aarch64: not every kernel that registers sequences restarts them whenever it must, see release.h. */
#ifndef AOMA_PERCPU_KERNEL_ARCH_H
#define AOMA_PERCPU_KERNEL_ARCH_H

#include <errno.h>
#include <sys/utsname.h>

#include "release.h"

/*
 * One system call, which keeps errno. The buffer is too large for a small signal stack; calls that overlap write the
 * same release into it, and each reads it after its own.
 */
AOMA_INLINE bool aoma_kernel_is_trusted(void)
{
    static struct utsname name;
    int *error = &errno;
    int saved = *error;
    bool done = uname(&name) == 0;

    *error = saved;
    return done && aoma_release_restarts_when_preempted(name.release);
}

#endif /* AOMA_PERCPU_KERNEL_ARCH_H */
