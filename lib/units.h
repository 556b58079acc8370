/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* Every size constant: shift, then size, then mask; the value on 64-bit hosts stands beside it. */
#ifndef AOMA_UNITS_H
#define AOMA_UNITS_H

#include <stddef.h>
#include <stdint.h>

#define AOMA_KIB ((size_t)1 << 10)
#define AOMA_MIB ((size_t)1 << 20)

/* Unit of offsets and links inside a run, and the alignment of every block. */
#define AOMA_UNIT_SHIFT 4
#define AOMA_UNIT_BYTES ((size_t)1 << AOMA_UNIT_SHIFT) /* 16 */

#if defined(__x86_64__) || defined(__i386__)
#define AOMA_PAGE_SHIFT 12
#else
#define AOMA_PAGE_SHIFT 16 /* the largest page of the other hosts: right with smaller ones too */
#endif
#define AOMA_PAGE_BYTES ((size_t)1 << AOMA_PAGE_SHIFT)

#define AOMA_CHUNK_SHIFT 13
#define AOMA_CHUNK_BYTES ((size_t)1 << AOMA_CHUNK_SHIFT) /* 8 KiB */
#define AOMA_CHUNK_MASK (AOMA_CHUNK_BYTES - 1)

/* Chunks that share a page where that is larger. */
#if AOMA_PAGE_SHIFT > AOMA_CHUNK_SHIFT
#define AOMA_PAGE_CHUNKS (1u << (AOMA_PAGE_SHIFT - AOMA_CHUNK_SHIFT))
#else
#define AOMA_PAGE_CHUNKS 1u
#endif

/* A segment is one aligned window of address space: 64 chunks, a bit each in its words. */
#define AOMA_SEGMENT_CHUNKS_SHIFT 6
#define AOMA_SEGMENT_CHUNKS (1u << AOMA_SEGMENT_CHUNKS_SHIFT)
#define AOMA_SEGMENT_SHIFT (AOMA_CHUNK_SHIFT + AOMA_SEGMENT_CHUNKS_SHIFT)
#define AOMA_SEGMENT_BYTES ((size_t)1 << AOMA_SEGMENT_SHIFT) /* 512 KiB */
#define AOMA_SEGMENT_MASK (AOMA_SEGMENT_BYTES - 1)

/* What is mapped at once: the size of a huge page where there is one. */
#define AOMA_GROUP_SHIFT 21
#define AOMA_GROUP_BYTES ((size_t)1 << AOMA_GROUP_SHIFT) /* 2 MiB */
#define AOMA_GROUP_SEGMENTS (1u << (AOMA_GROUP_SHIFT - AOMA_SEGMENT_SHIFT))

/* Metadata comes in banks of 32 segments: half a 64-bit index word, whose other half is its version. */
#define AOMA_BANK_SHIFT 5
#define AOMA_BANK_SEGMENTS (1u << AOMA_BANK_SHIFT)

/* A directory word covers 32 banks, 512 MiB. */
#define AOMA_DIRECTORY_SHIFT 5
#define AOMA_DIRECTORY_BANKS (1u << AOMA_DIRECTORY_SHIFT)

#if UINTPTR_MAX > 0xffffffffu
#if defined(__x86_64__)
#define AOMA_ADDRESS_BITS 47
#else
#define AOMA_ADDRESS_BITS 48
#endif
#define AOMA_DIRECTORIES 256u      /* 128 GiB in segments; own mappings come on top */
#define AOMA_PAGE_MAP_LEAF_BITS 12 /* a leaf covers 2 GiB in 32 KiB */
#else
#define AOMA_ADDRESS_BITS 32
#define AOMA_DIRECTORIES 8u        /* 4 GiB */
#define AOMA_PAGE_MAP_LEAF_BITS 10 /* a leaf covers 512 MiB in 4 KiB */
#endif
#define AOMA_BANKS (AOMA_DIRECTORIES * AOMA_DIRECTORY_BANKS)
#define AOMA_MAX_SEGMENTS (AOMA_BANKS * AOMA_BANK_SEGMENTS)

#define AOMA_WINDOW_BITS (AOMA_ADDRESS_BITS - AOMA_SEGMENT_SHIFT)
#define AOMA_PAGE_MAP_ROOT_BITS (AOMA_WINDOW_BITS - AOMA_PAGE_MAP_LEAF_BITS)
#define AOMA_PAGE_MAP_LEAF_SHIFT (AOMA_SEGMENT_SHIFT + AOMA_PAGE_MAP_LEAF_BITS)
#define AOMA_PAGE_MAP_LEAVES_STATIC 2u

#define AOMA_STATIC_HEAP_BYTES ((size_t)AOMA_INITIAL_HEAP_KIB * AOMA_KIB)
/* Windows the static heap may touch, wherever the linker puts it. */
#define AOMA_STATIC_SEGMENTS ((unsigned)(AOMA_STATIC_HEAP_BYTES >> AOMA_SEGMENT_SHIFT) + 2)
#define AOMA_PAGE_MAP_LEAVES_HOME ((unsigned)(AOMA_STATIC_HEAP_BYTES >> AOMA_PAGE_MAP_LEAF_SHIFT) + 2)
#define AOMA_STATIC_BANKS ((AOMA_STATIC_SEGMENTS + AOMA_BANK_SEGMENTS - 1) >> AOMA_BANK_SHIFT)

/* Above it no request can be met: pointer differences must stay representable, and rounding must not wrap. */
#define AOMA_MAX_REQUEST_BYTES ((size_t)PTRDIFF_MAX - (AOMA_GROUP_BYTES << 2))

_Static_assert(AOMA_SEGMENT_CHUNKS == 64, "a segment's chunks fill one 64-bit word");
_Static_assert(AOMA_BANK_SEGMENTS == 32 && AOMA_DIRECTORY_BANKS == 32, "index words: 32 bits, 32 of version");
_Static_assert(AOMA_STATIC_HEAP_BYTES % AOMA_CHUNK_BYTES == 0, "the static heap consists of whole chunks");
_Static_assert(AOMA_STATIC_BANKS <= AOMA_BANKS, "the static heap exceeds what the index covers");

#endif /* AOMA_UNITS_H */
