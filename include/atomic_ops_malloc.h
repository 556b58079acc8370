/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* The header name of libatomic_ops' AO_malloc, so that programs written for it compile unchanged. */
#ifndef AOMALLOC_ATOMIC_OPS_MALLOC_H
#define AOMALLOC_ATOMIC_OPS_MALLOC_H

#include "aomalloc.h"

#endif /* AOMALLOC_ATOMIC_OPS_MALLOC_H */
