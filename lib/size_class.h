/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* Bytes <-> size class: 16-byte steps to 128, then 8 classes per doubling to 64 KiB. Constant tables only. */
#ifndef AOMA_SIZE_CLASS_H
#define AOMA_SIZE_CLASS_H

#include <stddef.h>
#include <stdint.h>

#include "compiler.h"
#include "size_class_table.h"
#include "units.h"

extern AOMA_HIDDEN const uint8_t aoma_class_lookup[AOMA_CLASS_LOOKUP_BYTES / 16 + 1];
extern AOMA_HIDDEN const uint32_t aoma_class_bytes_table[AOMA_CLASSES];
extern AOMA_HIDDEN const uint8_t aoma_class_chunks_table[AOMA_CLASSES];
extern AOMA_HIDDEN const uint8_t aoma_class_roomy_chunks_table[AOMA_CLASSES];

/* Class of a whole-chunk run that holds one large object. */
#define AOMA_CLASS_LARGE AOMA_CLASSES

/* The smallest class that holds bytes: above 128 bytes; up to AOMA_CLASS_LOOKUP_BYTES; up to AOMA_CLASS_MAX_BYTES. */
AOMA_INLINE unsigned aoma_class_compute(size_t bytes)
{
    unsigned log2 = 63 - (unsigned)__builtin_clzll((unsigned long long)bytes - 1);

    return (log2 - 7) * 8 + (unsigned)((bytes - 1) >> (log2 - 3));
}

AOMA_INLINE unsigned aoma_class_look_up(size_t bytes)
{
    return aoma_class_lookup[(bytes + AOMA_UNIT_BYTES - 1) >> AOMA_UNIT_SHIFT];
}

AOMA_INLINE unsigned aoma_class_of(size_t bytes)
{
    return bytes <= AOMA_CLASS_LOOKUP_BYTES ? aoma_class_look_up(bytes) : aoma_class_compute(bytes);
}

AOMA_INLINE uint32_t aoma_class_bytes(unsigned class)
{
    return aoma_class_bytes_table[class];
}

/*
 * How many chunks a run is given. Roomy ones are for where address space is plenty: fewer runs have more free blocks
 * each, so headers change runs less often.
 */
enum aoma_run_size {
    AOMA_RUN_ROOMY,   /* as many chunks as a descriptor has bits for */
    AOMA_RUN_FEW,     /* as many normal ones together as have a few blocks */
    AOMA_RUN_NORMAL,  /* the fewest chunks with a small tail */
    AOMA_RUN_MINIMAL, /* when memory is short: the fewest that hold a block */
};

#define AOMA_FEW_BLOCKS 4u

AOMA_INLINE unsigned aoma_class_chunks(unsigned class, enum aoma_run_size size)
{
    unsigned roomy = aoma_class_roomy_chunks_table[class];
    unsigned normal = aoma_class_chunks_table[class];

    if (size == AOMA_RUN_ROOMY)
        return roomy;
    if (size == AOMA_RUN_FEW) {
        unsigned chunks = normal;
        while (chunks << AOMA_CHUNK_SHIFT < AOMA_FEW_BLOCKS * aoma_class_bytes(class))
            chunks += normal;
        return chunks < roomy ? chunks : roomy;
    }
    if (size == AOMA_RUN_NORMAL)
        return normal;
    return (aoma_class_bytes(class) + (unsigned)AOMA_CHUNK_MASK) >> AOMA_CHUNK_SHIFT;
}

#endif /* AOMA_SIZE_CLASS_H */
