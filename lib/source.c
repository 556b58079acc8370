/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Shared words:
 *
 *   mmap_enabled     0 -> 1, once; 1 from the start in builds for preloading
 *   limit_below_max  written by any caller; any value written will do
 *   mapped_bytes     added to before a mapping is made, so that threads racing for the last bytes below the limit
 *                    cannot pass it together
 */
#include "atomics.h"
#include "bytes.h"
#include "compiler.h"
#include "os.h"
#include "source.h"
#include "units.h"

/* One chunk more than promised, because loaders do not honour an alignment above the page size everywhere. */
static char static_heap[AOMA_STATIC_HEAP_BYTES + AOMA_CHUNK_BYTES] __attribute__((aligned(4096)));

static struct aoma_hint mmap_enabled = {AOMA_PRELOAD};
static struct aoma_hint limit_below_max; /* SIZE_MAX - limit, so that zero means no limit */
static struct aoma_hint mapped_bytes;

void aoma_source_static_heap(uintptr_t *low, uintptr_t *high)
{
    *low = ((uintptr_t)static_heap + AOMA_CHUNK_MASK) & ~(uintptr_t)AOMA_CHUNK_MASK;
    *high = *low + AOMA_STATIC_HEAP_BYTES;
}

void aoma_source_enable_mmap(void)
{
    aoma_hint_set(&mmap_enabled, 1);
}

bool aoma_source_mmap_enabled(void)
{
    return aoma_hint_get(&mmap_enabled) != 0;
}

void aoma_source_set_limit(size_t bytes)
{
    aoma_hint_set(&limit_below_max, SIZE_MAX - bytes);
}

size_t aoma_source_mapped_bytes(void)
{
    return aoma_hint_get(&mapped_bytes);
}

/* More than this is asked for before bookkeeping for it is mapped, which is never given back: 256 KiB for so many. (Not
 * less, since with mlockall memory that is only asked for is faulted in, too.) */
#define AOMA_SOURCE_ASKED_BYTES ((size_t)(UINT64_C(1) << 34) - 1) /* on 32-bit hosts nothing is more */

bool aoma_source_may_take(size_t bytes)
{
    size_t limit = SIZE_MAX - aoma_hint_get(&limit_below_max);
    size_t mapped = aoma_hint_get(&mapped_bytes);

    if (mapped > limit || bytes > limit - mapped)
        return false;
    return bytes <= AOMA_SOURCE_ASKED_BYTES || aoma_os_would_map(bytes);
}

/* Reserves room below the limit; false if there is none. */
static bool account(size_t bytes)
{
    size_t old = aoma_hint_get(&mapped_bytes);

    do {
        size_t limit = SIZE_MAX - aoma_hint_get(&limit_below_max);

        if (old > limit || bytes > limit - old)
            return false;
    } while (!aoma_hint_cas(&mapped_bytes, &old, old + bytes));
    return true;
}

/* Whatever the limit. */
static void account_anyway(size_t bytes)
{
    size_t old = aoma_hint_get(&mapped_bytes);

    while (!aoma_hint_cas(&mapped_bytes, &old, old + bytes))
        ;
}

static void unaccount(size_t bytes)
{
    account_anyway((size_t)0 - bytes);
}

static size_t page_align(size_t bytes)
{
    return (bytes + AOMA_PAGE_BYTES - 1) & ~(AOMA_PAGE_BYTES - 1);
}

/* What is in no account, and untouched. If the kernel refuses to unmap it, it counts anyway. */
static void unmap_unaccounted(char *mem, size_t bytes)
{
    if (bytes && !aoma_os_unmap(mem, bytes))
        account_anyway(bytes);
}

/* Cuts an over-long mapping down to bytes at a multiple of align. */
static void *trim_to_alignment(char *mem, size_t mapped, size_t bytes, size_t align)
{
    size_t before = (size_t)(-(uintptr_t)mem & (align - 1));

    unmap_unaccounted(mem, before);
    unmap_unaccounted(mem + before + bytes, mapped - before - bytes);
    return mem + before;
}

/*
 * The kernel puts mappings side by side, so after one of a multiple
 * of align the next is aligned by itself: ask plainly first.
 */
AOMA_INLINE void *map_aligned(enum aoma_os_access access, size_t bytes, size_t align)
{
    char *mem = aoma_os_map(bytes, access);

    if (!mem || ((uintptr_t)mem & (align - 1)) == 0)
        return mem;
    unmap_unaccounted(mem, bytes);
    if (bytes > SIZE_MAX - align)
        return NULL;
    mem = aoma_os_map(bytes + align, access);
    return mem ? trim_to_alignment(mem, bytes + align, bytes, align) : NULL;
}

AOMA_INLINE void *map_accounted(size_t bytes, size_t align)
{
    if (!account(bytes))
        return NULL;
    void *mem = map_aligned(AOMA_OS_USABLE, bytes, align);
    if (!mem)
        unaccount(bytes);
    return mem;
}

void *aoma_source_map(size_t bytes, size_t align)
{
    return aoma_source_mmap_enabled() ? map_accounted(bytes, align) : NULL;
}

void aoma_source_unmap(void *mem, size_t bytes)
{
    if (aoma_os_unmap(mem, bytes))
        unaccount(bytes);
    else
        (void)aoma_os_purge(mem, bytes);
}

void aoma_source_populate(void *mem, size_t bytes)
{
    uintptr_t low = page_align((uintptr_t)mem);
    uintptr_t high = ((uintptr_t)mem + bytes) & ~(AOMA_PAGE_BYTES - 1);

    if (low < high && aoma_source_mmap_enabled())
        aoma_os_populate((void *)low, high - low);
}

/* Before a change of length; false: the limit says no. */
static bool account_growth(size_t old_bytes, size_t new_bytes)
{
    return new_bytes <= old_bytes || account(new_bytes - old_bytes);
}

/* After it, or after it has failed. */
static bool account_resized(bool done, size_t old_bytes, size_t new_bytes)
{
    if (done && new_bytes < old_bytes)
        unaccount(old_bytes - new_bytes);
    if (!done && new_bytes > old_bytes)
        unaccount(new_bytes - old_bytes);
    return done;
}

bool aoma_source_resize(void *mem, size_t old_bytes, size_t new_bytes)
{
    return account_growth(old_bytes, new_bytes) &&
           account_resized(aoma_os_resize(mem, old_bytes, new_bytes), old_bytes, new_bytes);
}

void *aoma_source_reserve(size_t bytes, size_t align)
{
    return map_aligned(AOMA_OS_RESERVED, bytes, align);
}

void aoma_source_unreserve(void *mem, size_t bytes)
{
    unmap_unaccounted(mem, bytes);
}

bool aoma_source_move(void *mem, size_t old_bytes, void *target, size_t new_bytes)
{
    if (!account_growth(old_bytes, new_bytes)) {
        aoma_source_unreserve(target, new_bytes);
        return false;
    }
    return account_resized(aoma_os_move(mem, old_bytes, target, new_bytes), old_bytes, new_bytes);
}

static void *cut_from_spare(size_t bytes, struct aoma_spare *spare)
{
    if (!spare || bytes > spare->high - spare->low)
        return NULL;
    void *mem = (void *)spare->low;
    spare->low += bytes;
    aoma_bytes_fill(mem, 0, bytes);
    return mem;
}

size_t aoma_source_metadata_bytes(size_t bytes)
{
    return (bytes + AOMA_CHUNK_MASK) & ~AOMA_CHUNK_MASK;
}

void *aoma_source_metadata(size_t bytes, struct aoma_spare *spare)
{
    size_t rounded = aoma_source_metadata_bytes(bytes);

    /* Aligned to a byte, for which nothing has to be cut off: this is part of the deepest chains. */
    return aoma_source_mmap_enabled() ? map_accounted(page_align(rounded), 1) : cut_from_spare(rounded, spare);
}

void aoma_source_metadata_return(void *mem, size_t bytes, struct aoma_spare *spare)
{
    size_t rounded = aoma_source_metadata_bytes(bytes);

    if (spare && (uintptr_t)mem >= spare->start && (uintptr_t)mem < spare->high)
        spare->low = (uintptr_t)mem; /* it was the last cut */
    else
        aoma_source_unmap(mem, page_align(rounded));
}
