/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */
/* Crashes while a lock of the C library is held. A handler that needs the same lock then waits for ever. */
#include "demo.h"

#include <link.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* Below 128 KiB, from where on glibc's malloc maps memory, and above what any of its caches keep of freed blocks. */
enum { BLOCK_BYTES = 96 * 1024 };

/*
 * glibc cuts a large block off the end of its heap, the top chunk, whose header lies right behind the block before.
 * With that header's page made unreadable, malloc faults when it reads the header, in _int_malloc with the arena's
 * lock held (it takes the lock because there are two threads). An overflow of a heap buffer ends the same way,
 * only less surely.
 */
void crash_in_malloc(void)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    char *last = malloc(BLOCK_BYTES);
    uintptr_t top = ((uintptr_t)last + BLOCK_BYTES) & ~(page - 1);
    mprotect((void *)top, (uintptr_t)sbrk(0) - top, PROT_NONE);
    void *volatile never = malloc(BLOCK_BYTES);
    free(never);
    free(last);
}

static int stay(struct dl_phdr_info *info, size_t bytes, void *argument)
{
    (void)info;
    (void)bytes;
    (void)argument;
    worker_done();
    sleep_for_ever();
    return 0;
}

static void hold_loader_lock(void)
{
    dl_iterate_phdr(stay, NULL);
}

/* As a thread does that is in dlopen(3) and waits for a malloc lock that the crashed thread holds. */
void crash_under_loader_lock(void)
{
    start_worker(hold_loader_lock);
    crash_segv();
}
