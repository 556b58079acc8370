/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

#define _GNU_SOURCE
#include <errno.h>
#include <sys/mman.h>

#include "os.h"

static void *map(size_t bytes, int protection, int flags)
{
    int saved = errno;
    void *mem = mmap(NULL, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

    errno = saved;
    return mem == MAP_FAILED ? NULL : mem;
}

void *aoma_os_map(size_t bytes)
{
    return map(bytes, PROT_READ | PROT_WRITE, 0);
}

void *aoma_os_reserve(size_t bytes)
{
    return map(bytes, PROT_NONE, MAP_NORESERVE);
}

void aoma_os_unmap(void *mem, size_t bytes)
{
    int saved = errno;

    munmap(mem, bytes);
    errno = saved;
}

bool aoma_os_purge(void *mem, size_t bytes)
{
    int saved = errno;
    bool done = madvise(mem, bytes, MADV_DONTNEED) == 0;

    errno = saved;
    return done;
}

static bool remap(void *mem, size_t old_bytes, size_t new_bytes, int flags, void *target)
{
    int saved = errno;
    void *got = mremap(mem, old_bytes, new_bytes, flags, target);

    errno = saved;
    return got != MAP_FAILED;
}

bool aoma_os_resize(void *mem, size_t old_bytes, size_t new_bytes)
{
    return remap(mem, old_bytes, new_bytes, 0, NULL);
}

bool aoma_os_move(void *mem, size_t old_bytes, void *target, size_t new_bytes)
{
    return remap(mem, old_bytes, new_bytes, MREMAP_MAYMOVE | MREMAP_FIXED, target);
}
