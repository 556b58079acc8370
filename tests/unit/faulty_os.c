/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

#define _GNU_SOURCE
#include "faulty_os.h"
#include "os.h"
#include "test.h"

#include <sys/mman.h>

struct faulty_os faulty_os = {
    .maps_left = FAULTY_OS_NEVER,
    .purges_left = FAULTY_OS_NEVER,
    .unmaps_left = FAULTY_OS_NEVER,
    .resizes_left = FAULTY_OS_NEVER,
    .moves_left = FAULTY_OS_NEVER,
};

/* The linker gives these names: __wrap_x is what others call as x, __real_x is x itself. */
void *__real_aoma_os_map(size_t bytes, enum aoma_os_access access);
bool __real_aoma_os_unmap(void *mem, size_t bytes);
bool __real_aoma_os_purge(void *mem, size_t bytes);
void __real_aoma_os_populate(void *mem, size_t bytes);
bool __real_aoma_os_resize(void *mem, size_t old_bytes, size_t new_bytes);
bool __real_aoma_os_move(void *mem, size_t old_bytes, void *target, size_t new_bytes);
void *__wrap_aoma_os_map(size_t bytes, enum aoma_os_access access);
bool __wrap_aoma_os_unmap(void *mem, size_t bytes);
bool __wrap_aoma_os_purge(void *mem, size_t bytes);
void __wrap_aoma_os_populate(void *mem, size_t bytes);
bool __wrap_aoma_os_resize(void *mem, size_t old_bytes, size_t new_bytes);
bool __wrap_aoma_os_move(void *mem, size_t old_bytes, void *target, size_t new_bytes);

unsigned faulty_os_calls(void)
{
    return faulty_os.map_calls + faulty_os.unmap_calls + faulty_os.purge_calls + faulty_os.populate_calls +
           faulty_os.resize_calls + faulty_os.move_calls;
}

static bool is_refused(atomic_uint *left)
{
    if (*left == 0)
        return true;
    if (*left != FAULTY_OS_NEVER)
        (*left)--;
    return false;
}

static void *map_at(uintptr_t place, size_t bytes, enum aoma_os_access access)
{
    int protection = access == AOMA_OS_USABLE ? PROT_READ | PROT_WRITE : PROT_NONE;
    void *mem = mmap((void *)place, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

    CHECK(mem == (void *)place);
    return mem;
}

void *__wrap_aoma_os_map(size_t bytes, enum aoma_os_access access)
{
    uintptr_t place = faulty_os.place;

    faulty_os.map_calls++;
    faulty_os.place = 0;
    if (is_refused(&faulty_os.maps_left))
        return NULL;
    return place ? map_at(place, bytes, access) : __real_aoma_os_map(bytes, access);
}

bool __wrap_aoma_os_unmap(void *mem, size_t bytes)
{
    faulty_os.unmap_calls++;
    return !is_refused(&faulty_os.unmaps_left) && __real_aoma_os_unmap(mem, bytes);
}

bool __wrap_aoma_os_purge(void *mem, size_t bytes)
{
    faulty_os.purge_calls++;
    return !is_refused(&faulty_os.purges_left) && __real_aoma_os_purge(mem, bytes);
}

void __wrap_aoma_os_populate(void *mem, size_t bytes)
{
    faulty_os.populate_calls++;
    faulty_os.populated_low = (uintptr_t)mem;
    faulty_os.populated_high = (uintptr_t)mem + bytes;
    __real_aoma_os_populate(mem, bytes);
}

bool __wrap_aoma_os_resize(void *mem, size_t old_bytes, size_t new_bytes)
{
    faulty_os.resize_calls++;
    return !is_refused(&faulty_os.resizes_left) && __real_aoma_os_resize(mem, old_bytes, new_bytes);
}

bool __wrap_aoma_os_move(void *mem, size_t old_bytes, void *target, size_t new_bytes)
{
    faulty_os.move_calls++;
    if (!is_refused(&faulty_os.moves_left))
        return __real_aoma_os_move(mem, old_bytes, target, new_bytes);
    CHECK(__real_aoma_os_unmap(target, new_bytes));
    return false;
}
