/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

#define _GNU_SOURCE
#include <errno.h>
#include <sys/mman.h>

#include "atomics.h"
#include "os.h"
#include "units.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000 /* Linux 4.17 */
#endif

#define POPULATE_BYTES (256 * AOMA_KIB) /* at a time; some 0.2 ms */

void *aoma_os_map(size_t bytes, enum aoma_os_access access)
{
    int *error = &errno;
    int saved = *error;
    int protection = access == AOMA_OS_USABLE ? PROT_READ | PROT_WRITE : PROT_NONE;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | (access == AOMA_OS_RESERVED ? MAP_NORESERVE : 0);
    void *mem = mmap(NULL, bytes, protection, flags, -1, 0);

    *error = saved;
    return mem == MAP_FAILED ? NULL : mem;
}

bool aoma_os_unmap(void *mem, size_t bytes)
{
    int *error = &errno;
    int saved = *error;
    bool done = munmap(mem, bytes) == 0;

    *error = saved;
    return done;
}

bool aoma_os_purge(void *mem, size_t bytes)
{
    int *error = &errno;
    int saved = *error;
    bool done = madvise(mem, bytes, MADV_DONTNEED) == 0;

    *error = saved;
    return done;
}

void aoma_os_populate(void *mem, size_t bytes)
{
    int *error = &errno;
    int saved = *error;
    char *at = mem;
    size_t now = 0;

    do {
        at += now;
        bytes -= now;
        now = bytes < POPULATE_BYTES ? bytes : POPULATE_BYTES;
    } while (now && madvise(at, now, MADV_POPULATE_WRITE) == 0);
    *error = saved;
}

/* 0, or what errno was then. */
static int remap(void *mem, size_t old_bytes, size_t new_bytes, int flags, void *target)
{
    int *error = &errno;
    int saved = *error;
    int failed = mremap(mem, old_bytes, new_bytes, flags, target) == MAP_FAILED ? *error : 0;

    *error = saved;
    return failed;
}

bool aoma_os_resize(void *mem, size_t old_bytes, size_t new_bytes)
{
    return remap(mem, old_bytes, new_bytes, 0, NULL) == 0;
}

/*
 * When a move onto it was refused, the kernel may have unmapped the target first, and what lies there now may be
 * another thread's. If it is a hole it can be had again. If not it is left alone, and lost if it was ours; that is
 * address space alone, and from then on the kernel is asked for the memory before.
 */
static struct aoma_hint doubtful;

static void give_back_target(void *target, size_t bytes)
{
    int *error = &errno;
    int saved = *error;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE;
    void *hole = mmap(target, bytes, PROT_NONE, flags, -1, 0);

    if (hole == MAP_FAILED)
        aoma_hint_set(&doubtful, 1);
    else /* before Linux 4.17 perhaps elsewhere */
        (void)munmap(hole, bytes);
    *error = saved;
}

/* Whether the kernel will refuse to lengthen by so much, wherever. */
static bool will_refuse(size_t bytes)
{
    return bytes && aoma_hint_get(&doubtful) && !aoma_os_would_map(bytes);
}

/*
 * What the kernel has as several mappings it refuses to move, but may have unmapped the target by then (Linux 6.12 has,
 * 6.18 has not), where another thread may map something before it is given back. A try to lengthen in place fails for
 * the same reason; where it succeeds, all of the new length moves. (Never shorter: memory behind the new length would
 * be unmapped by the try, and once more by the move, when it may be another thread's.)
 */
bool aoma_os_move(void *mem, size_t old_bytes, void *target, size_t new_bytes)
{
    int failed = remap(mem, old_bytes, new_bytes, 0, NULL);

    if ((failed && failed != ENOMEM) || will_refuse(failed ? new_bytes - old_bytes : 0)) {
        (void)aoma_os_unmap(target, new_bytes);
        return false;
    }
    if (remap(mem, failed ? old_bytes : new_bytes, new_bytes, MREMAP_MAYMOVE | MREMAP_FIXED, target) == 0)
        return true;
    if (!failed)
        (void)remap(mem, new_bytes, old_bytes, 0, NULL);
    give_back_target(target, new_bytes);
    return false;
}
