/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Filling and copying blocks without the C library: its memset and memcpy are chosen by resolvers that may not have run
 * yet when the first call comes from a resolver itself, as in a statically linked program.
 *
 * Lengths are rounded up to units of 16 bytes, which every block consists of.
 */
#ifndef AOMA_BYTES_H
#define AOMA_BYTES_H

#include <stddef.h>

void aoma_bytes_fill(void *to, unsigned char byte, size_t length);

/* The two do not overlap. */
void aoma_bytes_copy(void *to, const void *from, size_t length);

#endif /* AOMA_BYTES_H */
