/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

#include "binding.h"

#include "aomalloc.h"

void bench_binding_start(void)
{
    AO_malloc_enable_mmap();
}

bool bench_binding_trim(void)
{
    AO_malloc_trim();
    return true;
}

const char *bench_binding_library(void)
{
    return AO_malloc_variant();
}
