/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* The search for PARTIAL runs (run.h), by the partial bits of the segments that the index names. */
#ifndef AOMA_PARTIAL_H
#define AOMA_PARTIAL_H

#include <stdbool.h>

#include "run.h"

/*
 * A PARTIAL run of class, made ACTIVE: the caller's; NULL: none was found. choosy: only one that has a word with at
 * least 3/16 of its blocks free, and the search gives up after a few that have none; else all are looked at. It begins
 * at *cursor and leaves there where it got to.
 */
struct aoma_run *aoma_partial_take(unsigned class, bool choosy, struct aoma_hint *cursor);

#endif /* AOMA_PARTIAL_H */
