/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

#define _GNU_SOURCE
#include "world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "os.h"
#include "units.h"

enum { PAGE_SHIFT = AOMA_PAGE_SHIFT, ARENA_PAGES = 1 << 19, LEAST_PAGES = 1 << 15 };
#define PAGE_BYTES AOMA_PAGE_BYTES
#define ARENA_HINT ((uintptr_t)0x2000 << (sizeof(void *) == 8 ? 32 : 17))

enum page { FREE, RESERVED, USABLE, OURS };

extern char world_state_begin[], world_state_end[]; /* state.ld */

static uintptr_t arena;
static size_t arena_pages, used_pages; /* used: those below the highest that ever was */
static size_t usable_pages;
static unsigned char pages[ARENA_PAGES];
static unsigned maps_refused, purges_refused, resizes_refused, moves_refused;

void fuzz_fail(const char *file, int line, const char *condition)
{
    fprintf(stderr, "%s:%d: check failed: %s\n", file, line, condition);
    abort();
}

/* ---- the range of addresses ---- */

/* What is not there must not be readable, nor be given to anybody else. */
static void put_off(uintptr_t low, size_t bytes)
{
    void *mem = mmap((void *)low, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);

    FUZZ_CHECK(mem == (void *)low);
}

static void *put_on(uintptr_t low, size_t bytes)
{
    void *mem = mmap((void *)low, bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);

    FUZZ_CHECK(mem == (void *)low);
    return mem;
}

/* At the same address in each process, if possible: what an input names stays what it is. */
static void make_arena(void)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

    for (arena_pages = ARENA_PAGES; arena_pages >= LEAST_PAGES; arena_pages /= 2) {
        void *mem = mmap((void *)ARENA_HINT, arena_pages << PAGE_SHIFT, PROT_NONE, flags, -1, 0);
        if (mem != MAP_FAILED) {
            arena = ((uintptr_t)mem + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
            arena_pages -= arena != (uintptr_t)mem;
            return;
        }
    }
    FUZZ_CHECK(arena);
}

static size_t page_of(const void *mem)
{
    FUZZ_CHECK((uintptr_t)mem >= arena && (uintptr_t)mem - arena < arena_pages << PAGE_SHIFT);
    return (size_t)((uintptr_t)mem - arena) >> PAGE_SHIFT;
}

static size_t pages_of(size_t bytes)
{
    return (bytes + PAGE_BYTES - 1) >> PAGE_SHIFT;
}

static bool are_all(size_t first, size_t count, enum page what)
{
    if (first + count > arena_pages)
        return false;
    for (size_t i = first; i < first + count; i++)
        if (pages[i] != what)
            return false;
    return true;
}

static void enter(size_t first, size_t count, enum page what)
{
    for (size_t i = first; i < first + count; i++)
        usable_pages -= pages[i] == USABLE;
    usable_pages += what == USABLE ? count : 0;
    memset(pages + first, (int)what, count);
    if (first + count > used_pages)
        used_pages = first + count;
}

/* The lowest place: what was unmapped is soon mapped again. */
static void *find(size_t count)
{
    const unsigned char *at = memchr(pages, FREE, arena_pages);

    while (at) {
        size_t first = (size_t)(at - pages), have = 0;
        if (first + count > arena_pages)
            return NULL;
        while (have < count && at[have] == FREE)
            have++;
        if (have == count)
            return (void *)(arena + (first << PAGE_SHIFT));
        at = memchr(at + have, FREE, arena_pages - first - have);
    }
    return NULL;
}

uintptr_t world_state_low(void)
{
    return (uintptr_t)world_state_begin;
}

size_t world_state_bytes(void)
{
    return (uintptr_t)world_state_end - (uintptr_t)world_state_begin;
}

uintptr_t world_arena_low(void)
{
    return arena;
}

size_t world_arena_bytes(void)
{
    return used_pages << PAGE_SHIFT;
}

void *world_map(size_t bytes)
{
    void *mem = find(pages_of(bytes));

    if (mem) {
        put_on((uintptr_t)mem, pages_of(bytes) << PAGE_SHIFT);
        enter(page_of(mem), pages_of(bytes), OURS);
    }
    return mem;
}

size_t world_mapped_bytes(void)
{
    return usable_pages << PAGE_SHIFT;
}

void world_refuse(unsigned maps, unsigned purges, unsigned resizes, unsigned moves)
{
    maps_refused = maps;
    purges_refused = purges;
    resizes_refused = resizes;
    moves_refused = moves;
}

void world_begin(void)
{
    if (!arena)
        make_arena();
    if (used_pages)
        put_off(arena, used_pages << PAGE_SHIFT);
    memset(pages, FREE, used_pages);
    used_pages = usable_pages = 0;
    world_refuse(0, 0, 0, 0);
    interrupt_nothing();
    FUZZ_CHECK(world_state_bytes() >= AOMA_STATIC_HEAP_BYTES); /* state.ld has found the library */
    FUZZ_CHECK(madvise(world_state_begin, world_state_bytes(), MADV_DONTNEED) == 0);
    cpu_begin();
}

/* ---- the library's calls of the system ---- */

static bool is_refused(unsigned *left)
{
    if (*left == 0)
        return false;
    (*left)--;
    return true;
}

static void *map(size_t bytes, enum aoma_os_access access)
{
    void *mem = is_refused(&maps_refused) || bytes > arena_pages << PAGE_SHIFT ? NULL : find(pages_of(bytes));

    if (!mem)
        return NULL;
    enter(page_of(mem), pages_of(bytes), access == AOMA_OS_USABLE ? USABLE : RESERVED);
    return access == AOMA_OS_USABLE ? put_on((uintptr_t)mem, bytes) : mem;
}

static void unmap(void *mem, size_t bytes)
{
    size_t first = page_of(mem);

    for (size_t i = first; i < first + pages_of(bytes); i++)
        FUZZ_CHECK(pages[i] == USABLE || pages[i] == RESERVED);
    put_off((uintptr_t)mem, bytes);
    enter(first, pages_of(bytes), FREE);
}

static bool purge(void *mem, size_t bytes)
{
    if (is_refused(&purges_refused))
        return false;
    FUZZ_CHECK(madvise(mem, bytes, MADV_DONTNEED) == 0);
    return true;
}

static bool resize(void *mem, size_t old_bytes, size_t new_bytes)
{
    size_t first = page_of(mem);
    size_t old_count = pages_of(old_bytes), new_count = pages_of(new_bytes);

    FUZZ_CHECK(are_all(first, old_count, USABLE));
    if (is_refused(&resizes_refused))
        return false;
    if (new_bytes < old_bytes) {
        put_off((uintptr_t)mem + new_bytes, old_bytes - new_bytes);
        enter(first + new_count, old_count - new_count, FREE);
        return true;
    }
    if (!are_all(first + old_count, new_count - old_count, FREE))
        return false;
    put_on((uintptr_t)mem + old_bytes, new_bytes - old_bytes);
    enter(first, new_count, USABLE);
    return true;
}

bool __real_aoma_os_move(void *mem, size_t old_bytes, void *target, size_t new_bytes);

static bool move(void *mem, size_t old_bytes, void *target, size_t new_bytes)
{
    FUZZ_CHECK(are_all(page_of(mem), pages_of(old_bytes), USABLE));
    FUZZ_CHECK(are_all(page_of(target), pages_of(new_bytes), RESERVED));
    /* The kernel may have it as several mappings. */
    if (is_refused(&moves_refused) || !__real_aoma_os_move(mem, old_bytes, target, new_bytes)) {
        unmap(target, new_bytes);
        return false;
    }
    put_off((uintptr_t)mem, old_bytes);
    enter(page_of(mem), pages_of(old_bytes), FREE);
    enter(page_of(target), pages_of(new_bytes), USABLE);
    return true;
}

/* The linker gives them the library's calls. To who interrupts they are one instruction, as the kernel's are. */

void *__wrap_aoma_os_map(size_t bytes, enum aoma_os_access access);
bool __wrap_aoma_os_unmap(void *mem, size_t bytes);
bool __wrap_aoma_os_purge(void *mem, size_t bytes);
bool __wrap_aoma_os_resize(void *mem, size_t old_bytes, size_t new_bytes);
bool __wrap_aoma_os_move(void *mem, size_t old_bytes, void *target, size_t new_bytes);

void *__wrap_aoma_os_map(size_t bytes, enum aoma_os_access access)
{
    interrupt_hold();
    void *mem = map(bytes, access);
    interrupt_release();
    return mem;
}

bool __wrap_aoma_os_unmap(void *mem, size_t bytes)
{
    interrupt_hold();
    unmap(mem, bytes);
    interrupt_release();
    return true;
}

bool __wrap_aoma_os_purge(void *mem, size_t bytes)
{
    interrupt_hold();
    bool done = purge(mem, bytes);
    interrupt_release();
    return done;
}

bool __wrap_aoma_os_resize(void *mem, size_t old_bytes, size_t new_bytes)
{
    interrupt_hold();
    bool done = resize(mem, old_bytes, new_bytes);
    interrupt_release();
    return done;
}

bool __wrap_aoma_os_move(void *mem, size_t old_bytes, void *target, size_t new_bytes)
{
    interrupt_hold();
    bool done = move(mem, old_bytes, target, new_bytes);
    interrupt_release();
    return done;
}
