/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* A processor whose atomic operations are single instructions, or which is not known: step_require() tries one. */

#include "step_tracer.h"

bool step_sequence_begins(pid_t thread)
{
    (void)thread;
    return false;
}

void step_sequence_ended(pid_t thread)
{
    (void)thread;
}
