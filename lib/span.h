/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Spans: chunks of several adjacent segments, for objects that the static heap or a region could hold but one segment cannot. Each
 * segment's part is taken by its own CAS in address order, so a span is not taken at once: of two threads that want the same memory the one
 * that is ahead gets it, the other gives back and looks further. Meanwhile a third may see that memory taken.
 */
#ifndef AOMA_SPAN_H
#define AOMA_SPAN_H

#include "segment.h"

/* Looks through the static heap's segments and the first regions' (a fixed number). The descriptor of the first chunk, or NULL. */
struct aoma_run *aoma_span_take(size_t chunks, size_t align_bytes);
void aoma_span_give(struct aoma_segment *segment, unsigned first, size_t chunks);

#endif /* AOMA_SPAN_H */
