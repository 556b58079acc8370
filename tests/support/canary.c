/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

#include "canary.h"
#include "rng.h"

#include <string.h>

enum { WORD_BYTES = 8, FULL_BYTES = 4096, END_BYTES = 256, STRIDE_BYTES = 4096 };

/* At the start of each block; the pattern covers what follows. */
struct stamp {
    uint64_t size; /* with the key mixed in */
    uint64_t tag;
};

static uint64_t key_of(const void *block, uint64_t tag)
{
    return rng_mix(tag ^ (uintptr_t)block);
}

/* The next place to mark after offset: densely at both ends, one word a page between. */
static size_t next_offset(size_t offset, size_t size)
{
    if (size <= FULL_BYTES || offset < END_BYTES || offset >= size - END_BYTES)
        return offset + WORD_BYTES;
    size_t next = offset + STRIDE_BYTES;
    size_t last = (size - END_BYTES + WORD_BYTES - 1) / WORD_BYTES * WORD_BYTES;
    return next < last ? next : last;
}

static size_t piece_at(size_t offset, size_t size)
{
    return size - offset < WORD_BYTES ? size - offset : WORD_BYTES;
}

void canary_write(void *block, size_t size, uint64_t tag)
{
    unsigned char *bytes = block;
    uint64_t key = key_of(block, tag);
    struct stamp stamp = {size ^ key, tag};

    memcpy(bytes, &stamp, sizeof stamp);
    for (size_t offset = sizeof stamp; offset < size; offset = next_offset(offset, size)) {
        uint64_t word = key + offset;
        memcpy(bytes + offset, &word, piece_at(offset, size));
    }
}

static struct stamp stamp_of(const void *block)
{
    struct stamp stamp;
    memcpy(&stamp, block, sizeof stamp);
    return stamp;
}

size_t canary_size(const void *block)
{
    struct stamp stamp = stamp_of(block);
    return (size_t)(stamp.size ^ key_of(block, stamp.tag));
}

bool canary_is_whole(const void *block)
{
    const unsigned char *bytes = block;
    uint64_t key = key_of(block, stamp_of(block).tag);
    size_t size = canary_size(block);

    /* A broken stamp gives a size beyond any block: do not read there. */
    if (size < CANARY_MIN_BYTES || (uint64_t)size >> 32)
        return false;
    for (size_t offset = sizeof(struct stamp); offset < size; offset = next_offset(offset, size)) {
        uint64_t word = key + offset;
        if (memcmp(bytes + offset, &word, piece_at(offset, size)) != 0)
            return false;
    }
    return true;
}

bool canary_take(void *block)
{
    bool whole = canary_is_whole(block);
    memset(block, 0xdf, sizeof(struct stamp));
    return whole;
}
