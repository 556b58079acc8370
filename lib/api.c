/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* The entry points: route by size, answer NULL, set errno. No algorithm lives here. */
#include <errno.h>

#include "aomalloc.h"
#include "bytes.h"
#include "large.h"
#include "mapping.h"
#include "page_map.h"
#include "variant.h"

#define AOMA_NEW_FILL 0xa5
#define AOMA_FREED_FILL 0xdd

#define FAULT_FOREIGN "not a block: not from this heap"
#define FAULT_FREE_MEMORY "not in use: freed already or never handed out"
#define FAULT_INSIDE "not a block: inside a block or between blocks"

/* ---- shortage ---- */

/* Everything that is held back for speed goes back; whether that was anything. */
static bool reclaim(void)
{
    bool runs = aoma_variant_reclaim();

    return aoma_mapping_flush() || runs;
}

/*
 * A free block of a larger class is better than none; bounded by the number of classes. Last, a run has its chunks
 * within a segment, where a large object may lie across two.
 */
static AOMA_NOINLINE void *alloc_from_others(unsigned class, size_t alignment)
{
    void *block = NULL;

    for (unsigned larger = class + 1; !block && larger < AOMA_CLASSES; larger++) {
        if ((aoma_class_bytes(larger) & (alignment - 1)) == 0)
            block = aoma_variant_alloc_existing(larger);
    }
    if (!block && aoma_class_bytes(class) > AOMA_CHUNK_BYTES)
        block = aoma_large_alloc_span(aoma_class_bytes(class), alignment);
    return block;
}

/* What is left to try; leaves errno alone. */
static void *alloc_class_slowly(unsigned class, size_t alignment)
{
    void *block = aoma_variant_refill(class);

    if (aoma_unlikely(!block) && reclaim())
        block = aoma_variant_refill(class);
    return aoma_likely(block) ? block : alloc_from_others(class, alignment);
}

/* stray: NULL, or a block of another class to be given back. */
static AOMA_NOINLINE void *alloc_class_refill(unsigned class, void *stray)
{
    if (aoma_unlikely(stray))
        AO_free(stray);
    void *block = alloc_class_slowly(class, 1);
    if (aoma_unlikely(!block))
        errno = ENOMEM;
    return block;
}

/* content, *clean: as in large.h, but clean may be NULL. Leaves errno alone. */
static AOMA_NOINLINE void *alloc_large_quietly(size_t size, size_t align, size_t content, bool *clean)
{
    void *block = NULL;
    bool ignored;

    if (!clean)
        clean = &ignored;
    if (size <= AOMA_MAX_REQUEST_BYTES && align <= AOMA_MAX_REQUEST_BYTES - size) {
        block = aoma_large_alloc(size, align, content, clean);
        if (!block && reclaim())
            block = aoma_large_alloc(size, align, content, clean);
    }
    return block;
}

static AOMA_NOINLINE void *alloc_large(size_t size, size_t align, bool *clean)
{
    void *block = alloc_large_quietly(size, align, 0, clean);

    if (!block)
        errno = ENOMEM;
    return block;
}

/* ---- allocation ---- */

AOMA_INLINE void *fill_new(void *block, size_t size)
{
    if (AOMA_CHECKS_DEBUG && block)
        aoma_bytes_fill(block, AOMA_NEW_FILL, size);
    return block;
}

AOMA_INLINE void *alloc_class(unsigned class)
{
    void *block = NULL;

    if (aoma_unlikely(!aoma_variant_take(class, &block)))
        block = alloc_class_refill(class, block);
    return fill_new(block, aoma_class_bytes(class));
}

/* Leaves errno alone. (To read it, so as to put it back, would be a fault where there is no thread-local data yet.) */
static void *alloc_class_quietly(unsigned class, size_t alignment)
{
    void *block = NULL;

    if (aoma_variant_take(class, &block))
        return block;
    if (aoma_unlikely(block))
        AO_free(block);
    return alloc_class_slowly(class, alignment);
}

AOMA_EXPORT AOMA_HOT void *AO_malloc(size_t size)
{
    if (aoma_likely(size <= AOMA_CLASS_LOOKUP_BYTES))
        return alloc_class(aoma_class_look_up(size));
    if (size <= AOMA_CLASS_MAX_BYTES)
        return alloc_class(aoma_class_compute(size));
    return fill_new(alloc_large(size, 1, NULL), size);
}

AOMA_EXPORT void *AO_calloc(size_t count, size_t size)
{
    bool clean = false;
    size_t bytes;
    void *block;

    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    if (bytes <= AOMA_CLASS_MAX_BYTES)
        block = alloc_class(aoma_class_of(bytes));
    else
        block = alloc_large(bytes, 1, &clean);
    if (block && !clean)
        aoma_bytes_fill(block, 0, bytes);
    return block;
}

/*
 * Blocks stand at multiples of their size from the start of a run, which is aligned to a chunk: the smallest class
 * whose size is a multiple of alignment. Every power of two is one, so there is one for size <= AOMA_CLASS_MAX_BYTES.
 * NULL leaves errno alone.
 */
static void *alloc_aligned_class(size_t alignment, size_t size)
{
    unsigned class = aoma_class_of(size > alignment ? size : alignment);

    while ((aoma_class_bytes(class) & (alignment - 1)) != 0)
        class ++;
    return alloc_class_quietly(class, alignment);
}

AOMA_EXPORT void *AO_aligned_alloc(size_t alignment, size_t size)
{
    if (alignment == 0 || (alignment & (alignment - 1)) != 0) {
        errno = EINVAL;
        return NULL;
    }
    if (alignment <= AOMA_UNIT_BYTES)
        return AO_malloc(size);
    if (alignment <= AOMA_CHUNK_BYTES && size <= AOMA_CLASS_MAX_BYTES) {
        void *block = alloc_aligned_class(alignment, size);
        if (block)
            return fill_new(block, size);
    }
    return fill_new(alloc_large(size, alignment, NULL), size);
}

/* ---- finding the run of a block ---- */

/* A run and the number of one of its blocks. */
struct place {
    struct aoma_run *run;
    unsigned index;
};

/* The run that the chunk of address belongs to, or belonged to last. */
AOMA_INLINE struct aoma_run *run_of(uintptr_t entry, uintptr_t address)
{
    const struct aoma_segment *segment = (const struct aoma_segment *)(entry - AOMA_ENTRY_SEGMENT);
    uintptr_t head = segment->head[(address >> AOMA_CHUNK_SHIFT) % AOMA_SEGMENT_CHUNKS];

    return (struct aoma_run *)(entry - AOMA_ENTRY_SEGMENT + head * sizeof(struct aoma_run));
}

/* The place of a block in the segment of entry; false: no block begins there. */
AOMA_INLINE bool find_block(uintptr_t entry, const void *block, struct place *place)
{
    size_t offset;

    place->run = run_of(entry, (uintptr_t)block);
    return aoma_run_holds(place->run, (uintptr_t)block, &offset) && aoma_run_begins(place->run, offset, &place->index);
}

/* Aborts; says why no block begins there. */
static AOMA_COLD void fail_no_block(const void *block, const char *function)
{
    const struct aoma_segment *segment = aoma_entry_segment(aoma_page_map_get((uintptr_t)block));
    uint64_t chunk = aoma_chunk_bits(((uintptr_t)block >> AOMA_CHUNK_SHIFT) % AOMA_SEGMENT_CHUNKS, 1);

    if (!segment || !(aoma_load_acquire(&segment->owned) & chunk))
        aoma_fail(function, block, FAULT_FOREIGN);
    if (aoma_segment_free_chunks(segment) & chunk)
        aoma_fail(function, block, FAULT_FREE_MEMORY);
    aoma_fail(function, block, FAULT_INSIDE);
}

static size_t block_bytes(const struct aoma_run *run)
{
    unsigned class = aoma_run_class(run);

    return class == AOMA_CLASS_LARGE ? (size_t)run->chunks << AOMA_CHUNK_SHIFT : aoma_class_bytes(class);
}

/* ---- freeing ---- */

static AOMA_NOINLINE void fill_freed(struct place place, void *block)
{
    if (aoma_run_in_use(place.run, place.index) && !aoma_variant_has(place.run, block))
        aoma_bytes_fill(block, AOMA_FREED_FILL, block_bytes(place.run));
}

/* No block of a run: NULL, an own mapping, or wrong. */
static AOMA_NOINLINE void free_other(void *block)
{
    uintptr_t entry = aoma_page_map_get((uintptr_t)block);

    if (!block)
        return;
    if (entry && !aoma_entry_is_segment(entry))
        aoma_mapping_give(block, entry, "AO_free");
    else
        fail_no_block(block, "AO_free");
}

static AOMA_NOINLINE void free_by_page_map(void *block)
{
    uintptr_t entry = aoma_page_map_get((uintptr_t)block);
    struct place place;

    if (!aoma_entry_is_segment(entry) || !find_block(entry, block, &place)) { /* NULL is in no segment */
        free_other(block);
        return;
    }
    if (AOMA_CHECKS_DEBUG)
        fill_freed(place, block);
    aoma_variant_free(place.run, place.index, false, block, "AO_free");
}

AOMA_INLINE bool begins_in(const struct aoma_run *run, const void *block, unsigned *index)
{
    size_t offset;

    return aoma_likely(aoma_run_holds(run, (uintptr_t)block, &offset)) &&
           aoma_likely(aoma_run_begins(run, offset, index));
}

/* recent (a constant): run is the recent one. */
AOMA_INLINE void free_in(struct aoma_run *run, bool recent, void *block)
{
    unsigned index;

    if (aoma_likely(begins_in(run, block, &index)))
        aoma_variant_free(run, index, recent, block, "AO_free");
    else
        free_by_page_map(block);
}

/*
 * The block goes to its run at once. Most likely the run is the one that was last put into a header: with that guessed
 * by a branch, the processor need not wait until it has looked the run up. Of another run the words' cache line is
 * fetched as soon as it is known, since an atomic operation asks for its line only when all before it is done.
 */
AOMA_INLINE void free_directly(struct aoma_run *run, void *block)
{
    struct aoma_run *recent = aoma_recent_run();
    struct aoma_run *guess = recent;

    AOMA_OPAQUE(guess); /* or the compiler would take run, which is the same */
    if (run == recent) {
        free_in(guess, true, block);
    } else {
        aoma_prefetch_for_change(run->free);
        free_in(run, false, block);
    }
}

/* Everything ends in jumps, not calls, and so needs no stack frame. */
AOMA_EXPORT AOMA_HOT void AO_free(void *block)
{
    uintptr_t hint = aoma_ptr_load_acquire(aoma_run_hint((uintptr_t)block));
    struct aoma_run *run = aoma_hinted_run(hint);

    if (aoma_likely(aoma_hint_is_exact(hint, block)) &&
        aoma_likely(aoma_variant_free_believed(run, aoma_hinted_class(hint), block)))
        return;
    if (AOMA_CHECKS_DEBUG || aoma_unlikely(!run))
        free_by_page_map(block);
    else if (AOMA_VARIANT_DIRECT)
        free_directly(run, block);
    else
        free_in(run, false, block);
}

/* ---- size and resizing ---- */

/* The run of a block in use; aborts in the name of function if it is none. entry is that of no mapping. */
static struct aoma_run *find_run(uintptr_t entry, void *block, const char *function)
{
    struct place place;

    if (!entry || !find_block(entry, block, &place))
        fail_no_block(block, function);
    else if (!aoma_run_in_use(place.run, place.index) || aoma_variant_has(place.run, block))
        aoma_run_fail_not_in_use(block, function);
    return place.run;
}

AOMA_EXPORT size_t AO_malloc_usable_size(const void *block)
{
    static const char function[] = "AO_malloc_usable_size";

    if (!block)
        return 0;
    uintptr_t entry = aoma_page_map_get((uintptr_t)block);
    if (entry && !aoma_entry_is_segment(entry))
        return aoma_mapping_bytes(block, entry, function);
    return block_bytes(find_run(entry, (void *)(uintptr_t)block, function));
}

static void *alloc_quietly(size_t size, size_t content)
{
    return size <= AOMA_CLASS_MAX_BYTES ? alloc_class_quietly(aoma_class_of(size), 1)
                                        : alloc_large_quietly(size, 1, content, NULL);
}

/* A block that only gets shorter stays where it is rather than fail. block may be NULL, then with 0 for old_bytes. */
static void *move_block(void *block, size_t old_bytes, size_t size)
{
    void *moved = fill_new(alloc_quietly(size, old_bytes), size);

    if (moved) {
        aoma_bytes_copy(moved, block, old_bytes < size ? old_bytes : size);
        AO_free(block);
    } else if (block && size <= old_bytes) {
        moved = block;
    } else {
        errno = ENOMEM;
    }
    return moved;
}

/* A shorter block stays where it is while it fills at least half of its place. */
static bool fits(size_t block_bytes, size_t size)
{
    return size <= block_bytes && size >= block_bytes / 2;
}

/* Where a block of a run stays as it is, or is made shorter or longer. */
static bool resize_in_place(struct aoma_run *run, size_t old_bytes, size_t size)
{
    if (!aoma_run_is_large(run))
        return fits(old_bytes, size);
    return size > AOMA_CLASS_MAX_BYTES && size <= AOMA_MAX_REQUEST_BYTES && aoma_large_resize(run, size);
}

/* Where block is if it need not move, else NULL. *old_bytes: its length so far. */
AOMA_INLINE void *resize(void *block, size_t *old_bytes, size_t size)
{
    static const char function[] = "AO_realloc";
    uintptr_t entry = aoma_page_map_get((uintptr_t)block);

    if (entry && !aoma_entry_is_segment(entry)) {
        *old_bytes = aoma_mapping_bytes(block, entry, function);
        if (size < AOMA_SEGMENT_BYTES / 2 || size > AOMA_MAX_REQUEST_BYTES) /* a mapping is a window at least */
            return NULL;
        return aoma_mapping_resize(block, entry, size, function);
    }
    struct aoma_run *run = find_run(entry, block, function);
    *old_bytes = block_bytes(run);
    return resize_in_place(run, *old_bytes, size) ? block : NULL;
}

AOMA_EXPORT void *AO_realloc(void *block, size_t size)
{
    size_t old_bytes = 0;
    void *resized = block ? resize(block, &old_bytes, size) : NULL;

    return resized ? resized : move_block(block, old_bytes, size);
}

/* ---- the heap as a whole ---- */

AOMA_EXPORT void AO_malloc_enable_mmap(void)
{
    aoma_source_enable_mmap();
}

AOMA_EXPORT void AO_malloc_set_limit(size_t bytes)
{
    aoma_source_set_limit(bytes);
}

AOMA_EXPORT size_t AO_malloc_trim(void)
{
    size_t bytes;

    if (!aoma_source_mmap_enabled())
        return 0;
    (void)aoma_variant_reclaim();
    bytes = aoma_mapping_flush();
    for (uint32_t number = 0; number < aoma_segment_numbers(); number++) {
        struct aoma_segment *segment = aoma_segment_by_number(number);
        if (segment)
            bytes += aoma_segment_purge(segment);
    }
    return bytes;
}

AOMA_EXPORT int AO_malloc_add_region(void *mem, size_t bytes)
{
    uintptr_t low = (uintptr_t)mem;
    uintptr_t high = low + bytes;
    const uint32_t most_segments = AOMA_MAX_SEGMENTS;

    if (mem && high >= low && bytes >= AOMA_CHUNK_BYTES && bytes >> AOMA_SEGMENT_SHIFT < most_segments) {
        aoma_segment_install_static(); /* so that it is known as part of the heap */
        high &= ~(uintptr_t)AOMA_CHUNK_MASK;
        low = (low - 1) | AOMA_CHUNK_MASK; /* the byte before, since in the last chunk the next one wraps around */
        if (low < high && aoma_page_map_covers(low + 1, high) && !aoma_segment_overlaps(low + 1, high) &&
            aoma_segment_add_region(low + 1, high))
            return 0;
    }
    errno = EINVAL;
    return -1;
}

/* ---- what was built ---- */

AOMA_EXPORT int AO_malloc_is_lock_free(void)
{
    return AO_MALLOC_IS_LOCK_FREE;
}

AOMA_EXPORT const char *AO_malloc_variant(void)
{
    return aoma_variant_name();
}

AOMA_EXPORT const char *AO_malloc_mode(void)
{
    return aoma_variant_mode();
}

AOMA_EXPORT int AO_malloc_version(void)
{
    return AOMALLOC_VERSION;
}
