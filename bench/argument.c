/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

#include "argument.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

uint64_t bench_argument_number(const struct argp_state *state, const char *text, uint64_t least, uint64_t most)
{
    char *end;
    errno = 0;
    uint64_t value = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || *text == '-' || value < least || value > most)
        argp_error(state, "'%s' is not a number from %" PRIu64 " to %" PRIu64, text, least, most);
    return value;
}
