/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * The header name of libatomic_ops' AO_malloc, so that programs written for it compile unchanged. That header declares
 * the atomic operations, too; so does this one where they are installed.
 */
#ifndef AOMALLOC_ATOMIC_OPS_MALLOC_H
#define AOMALLOC_ATOMIC_OPS_MALLOC_H

#include "aomalloc.h"

#ifdef __has_include
#if __has_include(<atomic_ops.h>)
#include <atomic_ops.h>
#endif
#endif

#endif /* AOMALLOC_ATOMIC_OPS_MALLOC_H */
