/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

#include "large.h"
#include "idle.h"
#include "mapping.h"
#include "segment.h"
#include "source.h"
#include "span.h"

static size_t chunks_for(size_t bytes)
{
    return bytes ? (bytes + AOMA_CHUNK_MASK) >> AOMA_CHUNK_SHIFT
                 : 1; /* aligned, of no size: still a place of its own */
}

static void *publish(struct aoma_run *run, size_t chunks)
{
    aoma_run_make_large(run, chunks);
    aoma_idle_note_served(chunks << AOMA_CHUNK_SHIFT);
    return (void *)run->base;
}

static void *from_segment(size_t chunks, size_t align, bool *clean)
{
    unsigned align_chunks = align > AOMA_CHUNK_BYTES ? (unsigned)(align >> AOMA_CHUNK_SHIFT) : 1;
    struct aoma_run *run;

    do {
        run = aoma_segment_take((unsigned)chunks, align_chunks, clean);
    } while (!run && aoma_segment_grow());
    if (!run) /* another thread may have got the last memory that the limit allows, and use little of it */
        run = aoma_segment_take((unsigned)chunks, align_chunks, clean);
    return run ? publish(run, chunks) : NULL;
}

void *aoma_large_alloc_span(size_t bytes, size_t align)
{
    aoma_segment_install_static();
    struct aoma_run *run = aoma_span_take(chunks_for(bytes), align);

    return run ? publish(run, chunks_for(bytes)) : NULL;
}

static void populate(void *block, size_t content, size_t bytes)
{
    size_t written = content + aoma_source_ahead(bytes);

    aoma_source_populate(block, written < bytes ? written : bytes);
}

void *aoma_large_alloc(size_t bytes, size_t align, size_t content, bool *clean)
{
    size_t chunks = chunks_for(bytes);
    void *block;

    if (chunks <= AOMA_SEGMENT_CHUNKS && align <= AOMA_SEGMENT_BYTES)
        block = from_segment(chunks, align, clean);
    else
        block = aoma_mapping_take(bytes, align, clean);
    if (!block) {
        *clean = false;
        block = aoma_large_alloc_span(bytes, align);
    }
    if (content && block && *clean)
        populate(block, content, bytes);
    return block;
}

/* Only within one segment: spans stay as they are. */
bool aoma_large_resize(struct aoma_run *run, size_t bytes)
{
    size_t chunks = chunks_for(bytes);
    unsigned first = (unsigned)(run - run->segment->run);
    size_t old = run->chunks;

    if (chunks == old)
        return true;
    if (first + old > AOMA_SEGMENT_CHUNKS || first + chunks > AOMA_SEGMENT_CHUNKS)
        return false;
    if (chunks > old && !aoma_segment_take_at(run->segment, first + (unsigned)old, (unsigned)(chunks - old)))
        return false;
    run->chunks = (uint32_t)chunks; /* we hold the block, so nobody else reads it */
    if (chunks < old)
        aoma_segment_give(run->segment, first + (unsigned)chunks, (unsigned)(old - chunks));
    return true;
}
