/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * The C library's functions on top of AO_ ones, for programs that know nothing of aomalloc. Where standards leave a
 * choice, this is what glibc 2.36 does, since programs were tested with that:
 *
 *   realloc(p, 0)       frees p and returns NULL
 *   memalign            rounds an alignment up to a power of two; EINVAL above the largest one
 *   aligned_alloc       the same; size need not be a multiple of the alignment
 *   posix_memalign      on failure leaves *place as it was (and errno, which glibc does not always)
 *   pvalloc(0)          a page
 *
 * Nothing here has a state, so there is nothing to initialise, and nothing to do at a fork.
 */
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/auxv.h>

#include "aomalloc.h"
#include "compiler.h"
#include "units.h"

/* C23; not declared by older C libraries. */
void free_sized(void *block, size_t size);
void free_aligned_sized(void *block, size_t alignment, size_t size);

AOMA_EXPORT void *malloc(size_t size)
{
    return AO_malloc(size);
}

AOMA_EXPORT void free(void *block)
{
    AO_free(block);
}

/* The sizes are the caller's opinion; the heap knows its own. */
AOMA_EXPORT void free_sized(void *block, size_t size)
{
    (void)size;
    AO_free(block);
}

AOMA_EXPORT void free_aligned_sized(void *block, size_t alignment, size_t size)
{
    (void)alignment, (void)size;
    AO_free(block);
}

AOMA_EXPORT void *calloc(size_t count, size_t size)
{
    return AO_calloc(count, size);
}

AOMA_INLINE void *resize(void *block, size_t size)
{
    if (aoma_unlikely(size == 0) && block) {
        AO_free(block);
        return NULL;
    }
    return AO_realloc(block, size);
}

AOMA_EXPORT void *realloc(void *block, size_t size)
{
    return resize(block, size);
}

AOMA_EXPORT void *reallocarray(void *block, size_t count, size_t size)
{
    size_t bytes;

    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return resize(block, bytes);
}

AOMA_EXPORT size_t malloc_usable_size(void *block)
{
    return AO_malloc_usable_size(block);
}

/* The alignment may be any number. */
static void *align(size_t alignment, size_t size)
{
    if (alignment <= AOMA_UNIT_BYTES)
        return AO_malloc(size);
    if (alignment > SIZE_MAX / 2 + 1) {
        errno = EINVAL;
        return NULL;
    }
    return AO_aligned_alloc((size_t)1 << aoma_ceil_log2(alignment), size);
}

AOMA_EXPORT void *memalign(size_t alignment, size_t size)
{
    return align(alignment, size);
}

AOMA_EXPORT void *aligned_alloc(size_t alignment, size_t size)
{
    return align(alignment, size);
}

AOMA_EXPORT int posix_memalign(void **place, size_t alignment, size_t size)
{
    int saved = errno;
    void *block;

    if (alignment % sizeof(void *) != 0 || alignment == 0 || (alignment & (alignment - 1)) != 0)
        return EINVAL;
    block = AO_aligned_alloc(alignment, size);
    if (!block) {
        errno = saved;
        return ENOMEM;
    }
    *place = block;
    return 0;
}

static size_t page_bytes(void)
{
    return getauxval(AT_PAGESZ); /* always there, hence leaves errno alone */
}

AOMA_EXPORT void *valloc(size_t size)
{
    return AO_aligned_alloc(page_bytes(), size);
}

AOMA_EXPORT void *pvalloc(size_t size)
{
    size_t page = page_bytes();

    if (size > SIZE_MAX - (page - 1)) {
        errno = ENOMEM;
        return NULL;
    }
    return AO_aligned_alloc(page, (size + page - 1) & ~(page - 1));
}
