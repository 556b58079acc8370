/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* A variant without states of its own. */

#include "state.h"

const struct state states_of_variant[1];
const size_t states_of_variant_count;
