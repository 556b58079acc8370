/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

#include "large.h"
#include "mapping.h"
#include "segment.h"
#include "source.h"
#include "span.h"

static size_t chunks_for(size_t bytes)
{
    return (bytes + AOMA_CHUNK_MASK) >> AOMA_CHUNK_SHIFT;
}

static void *publish(struct aoma_run *run, size_t chunks, bool one_segment)
{
    aoma_run_make_large(run, chunks << AOMA_CHUNK_SHIFT, one_segment ? (unsigned)chunks : 0);
    return (void *)run->base;
}

static void *from_segment(size_t chunks, size_t align, bool *clean)
{
    unsigned align_chunks = align > AOMA_CHUNK_BYTES ? (unsigned)(align >> AOMA_CHUNK_SHIFT) : 1;
    struct aoma_run *run;

    do {
        run = aoma_segment_take((unsigned)chunks, align_chunks, clean);
    } while (!run && aoma_segment_grow());
    return run ? publish(run, chunks, true) : NULL;
}

static void *from_span(size_t chunks, size_t align, bool *clean)
{
    aoma_segment_install_static();
    struct aoma_run *run = aoma_span_take(chunks, align);

    *clean = false;
    return run ? publish(run, chunks, false) : NULL;
}

void *aoma_large_alloc(size_t bytes, size_t align, bool *clean)
{
    size_t chunks = chunks_for(bytes);
    void *block;

    if (chunks <= AOMA_SEGMENT_CHUNKS && align <= AOMA_SEGMENT_BYTES)
        block = from_segment(chunks, align, clean);
    else
        block = aoma_mapping_take(bytes, align, clean);
    return block ? block : from_span(chunks, align, clean);
}

static bool is_last_chunk(const struct aoma_run *run)
{
    return (size_t)(run - run->segment->run) + run->chunks == AOMA_SEGMENT_CHUNKS;
}

bool aoma_large_resize(struct aoma_run *run, size_t bytes)
{
    size_t chunks = chunks_for(bytes);
    unsigned first = (unsigned)(run - run->segment->run);
    unsigned old = run->chunks;

    if (old == 0 || chunks > AOMA_SEGMENT_CHUNKS)
        return chunks << AOMA_CHUNK_SHIFT == run->block_bytes;
    if (chunks == old)
        return true;
    if (chunks < old) {
        aoma_run_resize_large(run, (unsigned)chunks);
        aoma_segment_give(run->segment, first + (unsigned)chunks, old - (unsigned)chunks);
        return true;
    }
    if (is_last_chunk(run) || !aoma_segment_take_at(run->segment, first + old, (unsigned)chunks - old))
        return false;
    aoma_run_resize_large(run, (unsigned)chunks);
    return true;
}
