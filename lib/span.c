/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

#include "span.h"

/* Segments looked at: those of the static heap, whose number is a build constant, and as many more for regions. */
#define AOMA_SPAN_REGION_SEGMENTS 64u

/* Takes chunks from here on, or nothing. */
static bool take_from(struct aoma_segment *segment, unsigned first, size_t chunks)
{
    struct aoma_segment *at = segment;
    unsigned begin = first;
    size_t left = chunks;

    while (left && at && aoma_segment_take_at(at, begin, aoma_span_part(begin, left))) {
        left -= aoma_span_part(begin, left);
        begin = 0;
        at = left ? aoma_span_next_segment(at) : NULL;
    }
    if (left && left < chunks)
        aoma_span_give(segment, first, chunks - left);
    return left == 0;
}

/* A look ahead without taking, so that a fruitless search writes nothing. */
static bool looks_free(const struct aoma_segment *segment, unsigned first, size_t chunks)
{
    while (chunks && segment) {
        unsigned n = aoma_span_part(first, chunks);
        uint64_t bits = aoma_chunk_bits(first, n);

        if ((aoma_segment_free_chunks(segment) & bits) != bits)
            return false;
        chunks -= n;
        first = 0;
        segment = chunks ? aoma_span_next_segment(segment) : NULL;
    }
    return chunks == 0;
}

/* The first chunk of the free range that reaches the segment's end, or AOMA_SEGMENT_CHUNKS. */
static unsigned free_tail(const struct aoma_segment *segment)
{
    uint64_t used = ~aoma_segment_free_chunks(segment);

    return used ? AOMA_SEGMENT_CHUNKS - (unsigned)__builtin_clzll(used) : 0;
}

struct aoma_run *aoma_span_take(size_t chunks, size_t align_bytes)
{
    uint32_t numbers = aoma_segment_numbers();

    if (numbers > AOMA_STATIC_SEGMENTS + AOMA_SPAN_REGION_SEGMENTS)
        numbers = AOMA_STATIC_SEGMENTS + AOMA_SPAN_REGION_SEGMENTS;
    for (uint32_t i = 0; i < numbers; i++) {
        struct aoma_segment *segment = aoma_segment_by_number(i);
        unsigned first = segment ? free_tail(segment) : AOMA_SEGMENT_CHUNKS;

        for (; first < AOMA_SEGMENT_CHUNKS; first++) {
            if (segment->run[first].base & (align_bytes - 1))
                continue;
            if (looks_free(segment, first, chunks) && take_from(segment, first, chunks))
                return &segment->run[first];
            break;
        }
    }
    return NULL;
}
