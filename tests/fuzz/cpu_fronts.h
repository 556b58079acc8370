/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Variants with fronts, whose number is made up. The library is the build with injection points of tests/fronts. Beside
 * what is here, cpu_VARIANT.c has cpu_use_virtual() and this:
 */
#ifndef AOMALLOC_FUZZ_CPU_FRONTS_H
#define AOMALLOC_FUZZ_CPU_FRONTS_H

#include <stdint.h>

/* What the library is to take for the kernel's number. */
extern _Thread_local volatile uint32_t virtual_number;

/* Makes new what world_begin() does not. */
void cpu_forget(void);

#endif /* AOMALLOC_FUZZ_CPU_FRONTS_H */
