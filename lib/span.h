/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Spans: chunks of several adjacent segments, for objects that the static heap or a region could hold but one segment
 * cannot. Each segment's part is taken by its own CAS in address order, so a span is not taken at once: of two threads
 * that want the same memory the one that is ahead gets it, the other gives back and looks further. Meanwhile a third
 * may see that memory taken.
 */
#ifndef AOMA_SPAN_H
#define AOMA_SPAN_H

#include "page_map.h"
#include "segment.h"

/*
 * Looks through the static heap's segments and the first regions'
 * (a fixed number). The descriptor of the first chunk, or NULL.
 */
struct aoma_run *aoma_span_take(size_t chunks, size_t align_bytes);

AOMA_INLINE struct aoma_segment *aoma_span_next_segment(const struct aoma_segment *segment)
{
    return aoma_entry_segment(aoma_page_map_get(segment->base + AOMA_SEGMENT_BYTES));
}

/* How many of the chunks lie in the segment in which they begin. */
AOMA_INLINE unsigned aoma_span_part(unsigned first, size_t chunks)
{
    return chunks < AOMA_SEGMENT_CHUNKS - first ? (unsigned)chunks : AOMA_SEGMENT_CHUNKS - first;
}

/* Gives chunks back, of one segment or of several. (Inline: it is part of the deepest call chain.) */
AOMA_INLINE void aoma_span_give(struct aoma_segment *segment, unsigned first, size_t chunks)
{
    for (;;) {
        unsigned n = aoma_span_part(first, chunks);

        aoma_segment_give(segment, first, n);
        chunks -= n;
        if (!chunks)
            return;
        first = 0;
        segment = aoma_span_next_segment(segment);
    }
}

#endif /* AOMA_SPAN_H */
