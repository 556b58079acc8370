/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* A processor without a flag for it that a program could set itself, or where that is left to ptrace. */

#include "step_way.h"

#include <stddef.h>

static const char *begin(void)
{
    return "no trap flag on this processor";
}

const struct step_way step_by_trap_flag = {"trap_flag", begin, NULL, NULL, NULL};
