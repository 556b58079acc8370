/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* What the programs of this folder ask of their arguments, beyond argp. */
#ifndef BENCH_ARGUMENT_H
#define BENCH_ARGUMENT_H

#include <argp.h>
#include <stdint.h>

/* The number that text is, from least to most; else ends the program with a sentence. */
uint64_t bench_argument_number(const struct argp_state *state, const char *text, uint64_t least, uint64_t most);

#endif /* BENCH_ARGUMENT_H */
