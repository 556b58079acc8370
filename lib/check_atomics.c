/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* Compiled at configure time only: fails where the host has no lock-free 64-bit compare-and-swap. */
#include <stddef.h>

#include "atomics.h"

int main(void)
{
    struct aoma_word word = {0};
    uint64_t expected = 0;

    return aoma_cas_full(&word, &expected, 1) ? 0 : 1;
}
