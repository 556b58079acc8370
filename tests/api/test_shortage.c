/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * When the operating system gives no memory, now and then or any more: NULL with ENOMEM, blocks in use keep their
 * content, and what is freed can be had again. The library's calls of mmap and mremap come here first, since the
 * program's symbols go before the C library's.
 */

#define _GNU_SOURCE
#include "canary.h"
#include "chain.h"
#include "child.h"
#include "process.h"
#include "rng.h"
#include "test.h"

#include <aomalloc.h>

#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

/* ---- calls that fail ---- */

/* Written by the one thread that there is. */
static struct {
    unsigned calls; /* since they are counted */
    unsigned each;  /* each such call fails; 0: none */
    unsigned only;  /* this call fails; 0: none */
    unsigned failed;
} mapping;

/* What another thread might map where the library has just unmapped something; 0: nothing now. */
static volatile unsigned char *neighbour;
enum { NEIGHBOUR_BYTES = 64 * KIB, NEIGHBOUR_MARK = 0x6e };

static void check_neighbour(void)
{
    if (!neighbour)
        return;
    CHECK(neighbour[0] == NEIGHBOUR_MARK && neighbour[NEIGHBOUR_BYTES - 1] == NEIGHBOUR_MARK);
    CHECK(munmap((void *)neighbour, NEIGHBOUR_BYTES) == 0);
    neighbour = NULL;
}

#if !TEST_SANITIZED /* whose runtimes have symbols of their own before them */
static bool refuses(void)
{
    unsigned call = ++mapping.calls;
    bool refused = (mapping.each && call % mapping.each == 0) || call == mapping.only;

    mapping.failed += refused;
    if (refused)
        errno = ENOMEM;
    return refused;
}

/* ISO C knows no cast from an object's address to a function's. */
static void find(void *function, const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);

    CHECK(found);
    memcpy(function, &found, sizeof found);
}

#if defined(__GLIBC__) && defined(_FILE_OFFSET_BITS) && _FILE_OFFSET_BITS == 64
#define MMAP_NAME "mmap64" /* what the header makes of the name below */
#else
#define MMAP_NAME "mmap"
#endif

static void settle_at(void *place)
{
    void *(*map)(void *, size_t, int, int, int, off_t);

    if (neighbour)
        return;
    find(&map, MMAP_NAME);
    void *mem = map(place, NEIGHBOUR_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mem == MAP_FAILED)
        return;
    neighbour = mem;
    neighbour[0] = neighbour[NEIGHBOUR_BYTES - 1] = NEIGHBOUR_MARK;
}

static void settle_at_hole(void *place, size_t bytes)
{
    CHECK(munmap(place, bytes) == 0);
    settle_at(place);
    errno = ENOMEM;
}

void *mmap(void *address, size_t bytes, int protection, int flags, int file, off_t offset)
{
    static void *(*next)(void *, size_t, int, int, int, off_t);

    if (!next)
        find(&next, MMAP_NAME);
    return refuses() ? MAP_FAILED : next(address, bytes, protection, flags, file, offset);
}

void *mremap(void *address, size_t old_bytes, size_t new_bytes, int flags, ...)
{
    static void *(*next)(void *, size_t, size_t, int, ...);
    void *target = NULL;
    va_list more;

    va_start(more, flags);
    if (flags & MREMAP_FIXED)
        target = va_arg(more, void *);
    va_end(more);
    if (!next)
        find(&next, "mremap");
    if (refuses()) {
        if (target && mapping.failed % 2) /* as where there is no memory when the target is unmapped already */
            settle_at_hole(target, new_bytes);
        return MAP_FAILED;
    }
    void *mem = next(address, old_bytes, new_bytes, flags, target);
    if (mem != MAP_FAILED && new_bytes < old_bytes && !target)
        settle_at((char *)mem + new_bytes);
    return mem;
}
#endif

static void require_failing_calls(void)
{
    test_require_mremap();
    require_shortening_mremap();
    if (TEST_SANITIZED)
        test_skip("a sanitizer has the calls of mmap");
}

/* ---- a program ---- */

enum { BLOCKS = 64, STEPS = 300, LIMIT_MIB = 64 };

struct program {
    struct rng rng;
    void *blocks[BLOCKS];
    unsigned refused;
};

static size_t any_size(struct rng *rng)
{
    static const struct {
        size_t least;
        unsigned doublings;
    } sizes[] = {{16, 6}, {1000, 6}, {64 * KIB, 3}, {520 * KIB, 2}};
    size_t kind = rng_below(rng, sizeof sizes / sizeof sizes[0]);

    return rng_size(rng, sizes[kind].least, sizes[kind].doublings);
}

static void *any_call(struct rng *rng, size_t size)
{
    switch (rng_below(rng, 3)) {
    case 0:
        return AO_calloc(1, size);
    case 1:
        return AO_aligned_alloc((size_t)16 << rng_below(rng, 18), size);
    default:
        return AO_malloc(size);
    }
}

static void allocate(struct program *program, size_t i)
{
    size_t size = any_size(&program->rng);

    errno = ERRNO_SENTINEL;
    program->blocks[i] = any_call(&program->rng, size);
    check_neighbour();
    CHECK(errno == (program->blocks[i] ? ERRNO_SENTINEL : ENOMEM));
    if (program->blocks[i])
        canary_write(program->blocks[i], size, i);
    else
        program->refused++;
}

static void change(struct program *program, size_t i)
{
    size_t size = any_size(&program->rng);

    CHECK(canary_is_whole(program->blocks[i]));
    if (rng_below(&program->rng, 2)) {
        CHECK(canary_take(program->blocks[i]));
        AO_free(program->blocks[i]);
        program->blocks[i] = NULL;
        return;
    }
    errno = ERRNO_SENTINEL;
    void *block = AO_realloc(program->blocks[i], size);
    check_neighbour();
    CHECK(errno == (block ? ERRNO_SENTINEL : ENOMEM));
    if (block) {
        program->blocks[i] = block;
        canary_write(block, size, i);
    } else {
        program->refused++;
        CHECK(canary_is_whole(program->blocks[i]));
    }
}

static void run_program(struct program *program)
{
    for (unsigned step = 0; step < STEPS; step++) {
        size_t i = rng_below(&program->rng, BLOCKS);

        if (program->blocks[i])
            change(program, i);
        else
            allocate(program, i);
        if (rng_below(&program->rng, 50) == 0)
            AO_malloc_trim();
    }
    for (size_t i = 0; i < BLOCKS; i++) {
        CHECK(!program->blocks[i] || canary_take(program->blocks[i]));
        AO_free(program->blocks[i]);
    }
}

/* ---- what can be had afterwards ---- */

static const size_t later_sizes[] = {100, 20 * KIB, 300 * KIB};
enum { LATER_SIZES = sizeof later_sizes / sizeof later_sizes[0] };

/* Shared with children. */
static struct shared {
    size_t had[LATER_SIZES]; /* bytes, of a program of which no call fails */
    unsigned calls;          /* of that one */
    unsigned failed;         /* of all others together */
    unsigned refused;        /* calls of the library that failed for it */
} * shared;

static void run_with_failures(void *seed)
{
    struct program program = {.rng = rng_stream(*(const uint64_t *)seed, 0)};
    bool is_first = !mapping.only && !mapping.each;

    AO_malloc_enable_mmap();
    AO_malloc_set_limit(LIMIT_MIB * MIB);
    mapping.calls = mapping.failed = 0;
    run_program(&program);
    CHECK(program.refused == 0 || mapping.failed || !is_first);
    if (is_first)
        shared->calls = mapping.calls;
    shared->failed += mapping.failed;
    shared->refused += program.refused;
    mapping.each = mapping.only = 0;
    for (unsigned i = 0; i < LATER_SIZES; i++) {
        struct chain chain = {0};

        chain_exhaust(&chain, later_sizes[i]);
        if (is_first)
            shared->had[i] = chain.bytes;
        else if (chain.bytes + later_sizes[i] < shared->had[i] - shared->had[i] / 50)
            fail_msg("%zu of %zu bytes in blocks of %zu", chain.bytes, shared->had[i], later_sizes[i]);
        chain_free(&chain);
    }
}

static void run_in_child(uint64_t seed)
{
    struct child_result result;

    child_run(run_with_failures, &seed, CHILD_STDERR_SHARED, &result);
    child_assert_exited(&result);
}

static uint64_t begin(void)
{
    uint64_t seed = test_seed();

    require_failing_calls();
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    run_in_child(seed);
    CHECK(shared->calls > 20);
    return seed;
}

/* All of them in a long run, else some. */
TEST(each_single_mapping_refused)
{
    uint64_t seed = begin();
    unsigned step = test_long() ? 1 : shared->calls / 8 + 1;
    unsigned children = 0;

    for (mapping.only = (unsigned)(seed % step) + 1; mapping.only <= shared->calls; mapping.only += step) {
        run_in_child(seed);
        children++;
    }
    CHECK(shared->failed == children);
}

TEST(every_kth_mapping_refused)
{
    static const unsigned each[] = {1, 2, 3, 7};
    uint64_t seed = begin();

    for (unsigned i = 0; i < sizeof each / sizeof each[0]; i++) {
        mapping.each = each[i];
        run_in_child(seed);
    }
    CHECK(shared->failed > 0 && shared->refused > 0);
}

/* ---- a limit of the system ---- */

static size_t obtain(size_t size)
{
    struct chain chain = {0};

    errno = 0;
    chain_exhaust(&chain, size);
    CHECK(errno == ENOMEM);
    size_t bytes = chain.bytes;
    chain_free(&chain);
    return bytes;
}

TEST(address_space_is_used_up)
{
    enum { ROOM_MIB = 64 };
    static const size_t sizes[] = {3 * MIB, 200 * KIB, 10000, 1000, 100, 10000};

    if (test_instrumented())
        test_skip("what the process maps is not the library's doing");
    struct rlimit limit = {.rlim_cur = process_mapped_bytes() + ROOM_MIB * MIB, .rlim_max = RLIM_INFINITY};
    AO_malloc_enable_mmap();
    if (setrlimit(RLIMIT_AS, &limit) != 0)
        test_skip("address space cannot be limited");
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t bytes = obtain(sizes[i]);
        if (bytes < ROOM_MIB * MIB / 100 * 75) /* two of 200 KiB in a window of 512 */
            fail_msg("%zu MiB in blocks of %zu", bytes / MIB, sizes[i]);
    }
}
