/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* Inline, for programs of the tests that have a main() of their own and so are not linked with the rest of support. */
#ifndef AOMALLOC_TEST_MREMAP_H
#define AOMALLOC_TEST_MREMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * Whether mremap() leaves alone what follows the memory that it shortens: qemu-user's (7.2, for 32 bits) does not. To
 * be called in a child, which may end by SIGSEGV. Needs _GNU_SOURCE.
 */
static inline bool mremap_shortens_soundly(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *pages = mmap(NULL, 4 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (pages == MAP_FAILED)
        return false;
    pages[2 * page] = 1;
    return mremap(pages, 2 * page, page, 0) == pages &&
           *(volatile char *)(pages + 2 * page) == 1; /* a store there would have qemu-user try it for ever */
}

#endif /* AOMALLOC_TEST_MREMAP_H */
