/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* A processor without sections. */
#ifndef AOMA_PERCPU_KERNEL_ARCH_H
#define AOMA_PERCPU_KERNEL_ARCH_H

#include <stdbool.h>

#include "compiler.h"

AOMA_INLINE bool aoma_kernel_is_trusted(void)
{
    return true;
}

#endif /* AOMA_PERCPU_KERNEL_ARCH_H */
