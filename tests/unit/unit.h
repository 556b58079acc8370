/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* What tests of the library's inside share. They link its static form, where internal symbols are visible. */
#ifndef AOMALLOC_TEST_UNIT_H
#define AOMALLOC_TEST_UNIT_H

#include "test.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "census.h"
#include "heap.h"
#include "idle.h"
#include "index.h"
#include "kept.h"
#include "large.h"
#include "mapping.h"
#include "os.h"
#include "page_map.h"
#include "partial.h"
#include "run.h"
#include "segment.h"
#include "source.h"
#include "span.h"

/* Most blocks that a run may have. */
enum { BLOCKS_MAX = 512 };

/* The function that blocks are given back in the name of. */
#define GIVER "test"

/* run(argument) must end in SIGABRT, having written exactly line and a newline. NULL: any one line. */
void assert_aborts(void (*run)(void *), void *argument, const char *line);

/* ---- memory of a known shape ---- */

/* Takes all free chunks of a segment, or of the heap. */
void hold_segment(struct aoma_segment *segment);
void hold_all_chunks(void);

/* Takes every chunk of the static heap, whose shape differs from build to build: what is added next is all there is. */
void use_up_static_heap(void);

/* Enables mmap and maps a group; its first segment. The others have the numbers that follow. */
struct aoma_segment *add_group(void);

/* Both: AOMA_GROUP_SEGMENTS free segments, and nothing else is free. */
struct aoma_segment *only_group(void);

/* Memory of the test's own at a multiple of AOMA_GROUP_BYTES, zero, followed by a free window of address space; or
 * only such an address, where bytes are free. */
uintptr_t map_area(size_t bytes);
uintptr_t find_free_area(size_t bytes);

/* Whether memory is all zero. */
bool is_zero(uintptr_t mem, size_t bytes);

/* The index names every segment that has a free range for each order that it has, and every one with partial bits. */
void check_index(void);

/* Takes a census, which must find that all chunks taken, but for so many, are in runs. */
struct aoma_census checked_census(size_t chunks_held);

/* Chunks of no run: those that a test took to hold. */
size_t chunks_held(void);

/* ---- runs and blocks: all that tests know of descriptors and of the shape of calls ---- */

/* Gives a block to its run, which is found by its address. AS-safe. */
void give(void *block);

static inline uintptr_t base_of(const struct aoma_run *run)
{
    return run->base;
}

static inline struct aoma_segment *segment_of(const struct aoma_run *run)
{
    return run->segment;
}

static inline size_t chunks_of(const struct aoma_run *run)
{
    return run->chunks;
}

static inline unsigned chunk_of(const struct aoma_run *run)
{
    return (unsigned)((base_of(run) & AOMA_SEGMENT_MASK) >> AOMA_CHUNK_SHIFT);
}

static inline uint64_t state_word(const struct aoma_run *run)
{
    return aoma_load_acquire(&run->state);
}

static inline enum aoma_run_state state_of(const struct aoma_run *run)
{
    return aoma_state_of(state_word(run));
}

static inline unsigned count_of(const struct aoma_run *run)
{
    return aoma_state_count(state_word(run));
}

static inline bool has_partial_bit(const struct aoma_run *run, unsigned class)
{
    return aoma_load_acquire(&segment_of(run)->partial[class]) >> chunk_of(run) & 1;
}

/* Whether the run has a byte there; whether one of its blocks begins there, and its number. */
static inline bool run_holds(const struct aoma_run *run, uintptr_t address)
{
    size_t offset;

    return aoma_run_holds(run, address, &offset);
}

static inline bool run_finds(const struct aoma_run *run, uintptr_t address, unsigned *index)
{
    size_t offset;

    return aoma_run_holds(run, address, &offset) && aoma_run_begins(run, offset, index);
}

static inline bool run_has_free(const struct aoma_run *run)
{
    return aoma_run_has_free(run, false);
}

static inline void give_to(struct aoma_run *run, unsigned index, void *block)
{
    aoma_run_give(run, index, false, block, GIVER);
}

/* What a take has answered: the block, or NULL after a stray has been given back. */
static inline void *taken_or_null(bool taken, void *block)
{
    if (taken || !block)
        return block;
    give(block);
    return NULL;
}

/* A free block from any word of the run, the first that has one. NULL: none. */
static inline void *take_any(struct aoma_run *run, unsigned class)
{
    aoma_active active = aoma_active_at(run, AOMA_RUN_WORDS - 1);
    void *block = NULL;
    bool taken = aoma_run_take_any(&active, class, false, &block);

    return taken_or_null(taken, block);
}

/* A free block from one word. NULL: none. */
static inline void *take_from_word(aoma_active active, unsigned class)
{
    void *block = NULL;
    bool taken = aoma_run_take(active, class, &block);

    return taken_or_null(taken, block);
}

/* With many: only a run of which 3/16 are free. */
static inline struct aoma_run *take_partial(unsigned class, bool many, struct aoma_hint *cursor)
{
    return aoma_partial_take(class, many, cursor);
}

static inline struct aoma_run *recent_run(void)
{
    return aoma_recent_run();
}

static inline void *heap_take(struct aoma_heap *heap, unsigned class)
{
    void *block = NULL;
    bool taken = aoma_heap_take(heap, class, &block);

    return taken_or_null(taken, block);
}

/* ---- the same, put together ---- */

/* Of a run that is not EMPTY, nor large. */
size_t free_blocks_of(const struct aoma_run *run);

/* The run that holds a block. AS-safe. */
struct aoma_run *run_of(const void *block);

/* Takes as many free blocks of an ACTIVE run as there are and max allows; how many. */
unsigned take_blocks(struct aoma_run *run, unsigned class, void **blocks, unsigned max);

/* The run must be one of the given class with so many blocks, in this state. */
void check_run(const struct aoma_run *run, enum aoma_run_state state, unsigned class, unsigned count);

#endif /* AOMALLOC_TEST_UNIT_H */
