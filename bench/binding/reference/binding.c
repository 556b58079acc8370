/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

#include "binding.h"

#include <atomic_ops_malloc.h>

void bench_binding_start(void)
{
    AO_malloc_enable_mmap();
}

bool bench_binding_trim(void)
{
    return false;
}

const char *bench_binding_library(void)
{
    return "libatomic_ops_gpl";
}
