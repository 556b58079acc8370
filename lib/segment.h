/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Segments: 64 chunks under a few 64-bit words with a bit per chunk. Taking n consecutive chunks is one CAS on `taken`,
 * giving them back is one CAS, and neighbours coalesce by themselves. Metadata stands apart from the memory it
 * describes, is made of zero bytes when new, and is never unmapped.
 *
 * An address belongs to the segment whose window (an aligned 512 KiB of address space) holds it; a segment may own only
 * some of its window's chunks, as at both ends of the static heap. Everything here is lock-free; the argument is at the
 * head of segment.c.
 */
#ifndef AOMA_SEGMENT_H
#define AOMA_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "atomics.h"
#include "size_class.h"
#include "source.h"
#include "units.h"
#include "variant_layout.h"

struct aoma_segment;
struct aoma_bank;

/* A run has at most 512 blocks, a bit each: as many as fill one cache line. */
#define AOMA_RUN_WORDS 8u

/*
 * Descriptor of the run whose first chunk has this index in its segment: bound to that chunk for ever, hence
 * type-stable. run.c owns it.
 *
 *   base          first byte of the first chunk; constant
 *   divisor       of block_bytes, for offset -> index, and the class: run.h
 *   last_unused   the bits of the last word that stand for no block
 *   blocks_bytes  of all blocks together, from base on; 0 while the chunks are not this run's, so that no address is
 *                 in it
 *   block_bytes   of one block; of a large object 0
 *   free          a bit per free block: cleared by whoever takes the block, set by whoever holds it
 *   state         class, state, number of blocks and version: run.h. Changed by CAS
 *   segment       constant
 *   owner         a variant's own: whose header the run was in last, say; a hint, any value will do
 *   chunks        of a large object possibly more than its segment has left: then it goes on in the next ones
 *
 * What is neither constant nor changed by read-modify-writes is written by the owner of an EMPTY run, and read by
 * holders of its blocks. The variant says whether its fast path changes words. If so, they have a cache line of their
 * own, so that others' changes take away only that. If it merely reads them, half of them are in the first line, with
 * what leads to them; blocks of 256 bytes or more have no others.
 */
struct aoma_run {
    uintptr_t base;
    uint64_t divisor;
    uint64_t last_unused;
    struct aoma_hint32 blocks_bytes;
    uint32_t block_bytes;
#if !AOMA_VARIANT_WORDS_APART
    struct aoma_word free[AOMA_RUN_WORDS] __attribute__((aligned(32)));
#endif
    struct aoma_word state;
    struct aoma_segment *segment;
    struct aoma_hint owner;
    uint32_t chunks;
#if AOMA_VARIANT_WORDS_APART
    struct aoma_word free[AOMA_RUN_WORDS] __attribute__((aligned(64)));
#endif
} __attribute__((aligned(128)));

_Static_assert(offsetof(struct aoma_run, free) == (AOMA_VARIANT_WORDS_APART ? 64 : 32), "cache lines as said above");
_Static_assert(sizeof(struct aoma_run) == 128, "a shift leads from a chunk's number to its descriptor");

/*
 * Words with a bit per chunk. free = owned & ~taken, so that all-zero metadata says "owns nothing" and one that has
 * just got its chunks says "all free" without further writes.
 *
 *   owned    bits only ever get set: by anyone who adds the range, idempotently
 *   taken    set by CAS by whoever takes the chunk; cleared by its holder alone
 *   dirty    content not known to be zero; written by a chunk's holder alone
 *   pinned   the caller's own memory: never purged; set before owned
 *   partial  per class: a run that begins here may be PARTIAL in this class (run.c)
 *   head     per chunk: the chunk that its run begins with; written by the run's owner before it hands out blocks
 */
struct aoma_segment {
    struct aoma_run run[AOMA_SEGMENT_CHUNKS]; /* first: free() adds an index to the segment's address, nothing else */
    struct aoma_word partial[AOMA_CLASSES] __attribute__((aligned(64)));
    struct aoma_word taken __attribute__((aligned(64))); /* from here on, a line */
    struct aoma_word dirty;
    struct aoma_word owned;
    struct aoma_word pinned;
    uintptr_t base;
    struct aoma_bank *bank;
    uint32_t number;
    uint8_t head[AOMA_SEGMENT_CHUNKS] __attribute__((aligned(64)));
};

/* Keys of the index: PARTIAL runs of a class, then segments with a free range of at least 2^order chunks. */
#define AOMA_KEY_PARTIAL(class) (class)
#define AOMA_KEY_FREE(order) (AOMA_CLASSES + (order))
#define AOMA_FREE_ORDERS (AOMA_SEGMENT_CHUNKS_SHIFT + 1)
#define AOMA_KEYS (AOMA_CLASSES + AOMA_FREE_ORDERS)

/* 32 segments and their index words, allocated together. */
struct aoma_bank {
    struct aoma_word present[AOMA_KEYS]; /* index.c */
    struct aoma_segment segment[AOMA_BANK_SEGMENTS];
};

/* Segments are numbered in the order in which they came; NULL where there is none. */
struct aoma_segment *aoma_segment_by_number(uint32_t number);
uint32_t aoma_segment_numbers(void); /* all numbers in use are below */

/*
 * n consecutive chunks (1..64) that begin at a multiple of align_chunks (a power of two, 1..64) from a window's start:
 * the descriptor of the first one, EMPTY, now the caller's. *clean tells whether they are known to be zero. NULL if the
 * segments hold none: then aoma_segment_grow may help.
 */
struct aoma_run *aoma_segment_take(unsigned n, unsigned align_chunks, bool *clean);

/* Exactly these chunks, if all are free: for growing a large object where it is. */
bool aoma_segment_take_at(struct aoma_segment *segment, unsigned first, unsigned n);

/* Gives n chunks back. */
void aoma_segment_give(struct aoma_segment *segment, unsigned first, unsigned n);

/* Adds the static heap, or maps a group. False when there is nothing left to add. */
bool aoma_segment_grow(void);

/* Adds [low, high), whole chunks with any content, never to be purged. False: no room for metadata, nothing added. */
bool aoma_segment_add_region(uintptr_t low, uintptr_t high);

/* Whether any chunk of [low, high) is part of the heap already. */
bool aoma_segment_overlaps(uintptr_t low, uintptr_t high);

/* When too much memory is idle and this segment has some that is worth a system call: purges it. */
void aoma_segment_purge_if_due(struct aoma_segment *segment);

/* The same for a few others, in turn: chunks may have become free where nobody frees again. */
#define AOMA_PURGE_SEGMENTS 8u
void aoma_segment_purge_others_if_due(void);

/* Gives the free memory of one segment back to the system; the bytes. */
size_t aoma_segment_purge(struct aoma_segment *segment);

/* Makes sure that the static heap is part of the heap. */
void aoma_segment_install_static(void);

AOMA_INLINE uint64_t aoma_segment_free_chunks(const struct aoma_segment *segment)
{
    return aoma_load_acquire(&segment->owned) & ~aoma_load_acquire(&segment->taken);
}

/* Bits first .. first + n - 1; 1 <= n <= 64. */
AOMA_INLINE uint64_t aoma_chunk_bits(unsigned first, unsigned n)
{
    return (~(uint64_t)0 >> (AOMA_SEGMENT_CHUNKS - n)) << first;
}

#endif /* AOMA_SEGMENT_H */
