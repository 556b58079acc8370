/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* Stands between the library and lib/os.c (by the linker's --wrap): counts calls, refuses them, chooses addresses. */
#ifndef AOMALLOC_TEST_FAULTY_OS_H
#define AOMALLOC_TEST_FAULTY_OS_H

#include <limits.h>
#include <stdatomic.h>
#include <stdint.h>

/* left: how many more calls are let through before all are refused. */
#define FAULTY_OS_NEVER UINT_MAX

/* Atomic, since threads may be in the midst of it; refusals are for one thread. */
struct faulty_os {
    atomic_uint map_calls, unmap_calls, purge_calls, populate_calls, resize_calls, move_calls;
    atomic_uintptr_t populated_low, populated_high; /* by the last call */
    atomic_uint maps_left, unmaps_left, purges_left, resizes_left, moves_left;
    atomic_uintptr_t place; /* of the next mapping, exactly, which must be free there; 0: where the kernel likes */
};

extern struct faulty_os faulty_os;

/* How many calls there were of any kind. */
unsigned faulty_os_calls(void);

#endif /* AOMALLOC_TEST_FAULTY_OS_H */
