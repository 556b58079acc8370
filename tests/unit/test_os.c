/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

#include "unit.h"
#include "process.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

enum { PAGES = 8 };
#define BYTES (PAGES * AOMA_PAGE_BYTES)
#define TOO_MUCH (SIZE_MAX & ~(AOMA_PAGE_BYTES - 1))

TEST(mapped_memory_is_zero_and_writable)
{
    unsigned char *mem = aoma_os_map(BYTES, AOMA_OS_USABLE);

    assert_non_null(mem);
    assert_true(is_zero((uintptr_t)mem, BYTES));
    memset(mem, 1, BYTES);
    aoma_os_unmap(mem, BYTES);
}

static void abort_on_fault(int number)
{
    (void)number;
    aoma_fail_invariant("fault");
}

static void write_and_abort_on_fault(void *mem)
{
    signal(SIGSEGV, abort_on_fault);
    *(volatile char *)mem = 1;
}

TEST(reserved_memory_has_no_access)
{
    void *mem = aoma_os_map(BYTES, AOMA_OS_RESERVED);

    assert_non_null(mem);
    assert_aborts(write_and_abort_on_fault, mem, "aomalloc: internal error: fault");
    aoma_os_unmap(mem, BYTES);
    assert_aborts(write_and_abort_on_fault, mem, "aomalloc: internal error: fault");
}

TEST(purged_memory_reads_as_zero)
{
    unsigned char *mem = aoma_os_map(BYTES, AOMA_OS_USABLE);

    memset(mem, 0xee, BYTES);
    assert_true(aoma_os_purge(mem + AOMA_PAGE_BYTES, BYTES - 2 * AOMA_PAGE_BYTES));
    assert_true(is_zero((uintptr_t)mem + AOMA_PAGE_BYTES, BYTES - 2 * AOMA_PAGE_BYTES));
    assert_int_equal(mem[AOMA_PAGE_BYTES - 1], 0xee);
    assert_int_equal(mem[BYTES - AOMA_PAGE_BYTES], 0xee);
}

/* Faults that it takes to write to each page. (mincore would count pages that can only be read.) */
static long faults_of_writing(volatile unsigned char *mem, size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    struct rusage before, after;

    CHECK(getrusage(RUSAGE_SELF, &before) == 0);
    for (size_t i = 0; i < bytes; i += page)
        mem[i] = 0x7a;
    CHECK(getrusage(RUSAGE_SELF, &after) == 0);
    return after.ru_minflt - before.ru_minflt;
}

/* The kernel's own word, not the library's. */
static void require_populating(void)
{
    enum { POPULATE_WRITE = 23 };
    void *mem = aoma_os_map(BYTES, AOMA_OS_USABLE);

    if (TEST_SANITIZED)
        test_skip("a sanitizer's own memory is faulted in, too");
    if (madvise(mem, BYTES, POPULATE_WRITE) != 0)
        test_skip("the kernel has no MADV_POPULATE_WRITE");
    aoma_os_unmap(mem, BYTES);
}

/* Its first half longer than what is populated in one call, and no multiple of that. */
TEST(populated_memory_is_there_at_once)
{
    size_t half = MIB + AOMA_PAGE_BYTES;
    long pages = (long)(half / (size_t)sysconf(_SC_PAGESIZE));

    require_populating();
    unsigned char *mem = aoma_os_map(3 * half, AOMA_OS_USABLE);
    (void)madvise(mem, 3 * half, MADV_NOHUGEPAGE); /* refused where there are none */
    mem[AOMA_PAGE_BYTES] = 0x79;
    aoma_os_populate(mem + 2 * half, 0);
    aoma_os_populate(mem, half);
    assert_int_equal(mem[AOMA_PAGE_BYTES], 0x79);
    assert_true(is_zero((uintptr_t)mem, AOMA_PAGE_BYTES));
    assert_in_range(faults_of_writing(mem, half), 0, pages / 2); /* others of the process may come in between */
    assert_in_range(faults_of_writing(mem + half, half), pages, 2 * pages);
    assert_in_range(faults_of_writing(mem + 2 * half, half), pages, 2 * pages);
}

TEST(resized_memory_keeps_its_content)
{
    require_shortening_mremap();
    unsigned char *mem = aoma_os_map(BYTES, AOMA_OS_USABLE);

    memset(mem, 0x77, BYTES);
    assert_true(aoma_os_resize(mem, BYTES, BYTES / 2));
    assert_true(aoma_os_resize(mem, BYTES / 2, BYTES)); /* the place behind has just become free */
    assert_true(is_zero((uintptr_t)mem + BYTES / 2, BYTES / 2));
    for (size_t i = 0; i < BYTES / 2; i++)
        assert_int_equal(mem[i], 0x77);
}

TEST(moved_memory_keeps_its_content)
{
    unsigned char *mem = aoma_os_map(BYTES, AOMA_OS_USABLE);
    unsigned char *target = aoma_os_map(2 * BYTES, AOMA_OS_RESERVED);

    memset(mem, 0x78, BYTES);
    assert_true(aoma_os_move(mem, BYTES, target, 2 * BYTES));
    for (size_t i = 0; i < BYTES; i++)
        assert_int_equal(target[i], 0x78);
    assert_true(is_zero((uintptr_t)target + BYTES, BYTES));
    memset(target, 1, 2 * BYTES);
    assert_aborts(write_and_abort_on_fault, mem, "aomalloc: internal error: fault"); /* nothing is left there */
}

TEST(what_cannot_be_moved_stays_and_leaves_no_target)
{
    unsigned char *mem = aoma_os_map(BYTES, AOMA_OS_USABLE);
    unsigned char *target = aoma_os_map(2 * BYTES, AOMA_OS_RESERVED);

    memset(mem, 0x78, BYTES);
    assert_int_equal(mprotect(mem + BYTES / 2, BYTES / 2, PROT_READ), 0); /* two mappings */
    assert_false(aoma_os_move(mem, BYTES, target, 2 * BYTES));
    assert_int_equal(mem[BYTES - 1], 0x78);
    for (size_t at = 0; at < 2 * BYTES; at += AOMA_PAGE_BYTES)
        CHECK(mprotect(target + at, AOMA_PAGE_BYTES, PROT_NONE) == -1 && errno == ENOMEM);
}

TEST(errno_is_kept_by_all)
{
    char *mem = aoma_os_map(BYTES, AOMA_OS_USABLE);

    errno = ERRNO_SENTINEL;
    assert_null(aoma_os_map(TOO_MUCH, AOMA_OS_USABLE));
    assert_null(aoma_os_map(TOO_MUCH, AOMA_OS_RESERVED));
    assert_false(aoma_os_purge(mem + 1, AOMA_PAGE_BYTES));
    aoma_os_populate(mem + 1, AOMA_PAGE_BYTES); /* refused for its address */
    aoma_os_populate(mem, BYTES);
    assert_false(aoma_os_resize(mem, BYTES, TOO_MUCH));
    assert_false(aoma_os_move(mem, BYTES, mem, BYTES));
    aoma_os_unmap(mem + 1, AOMA_PAGE_BYTES); /* refused as well */
    assert_int_equal(errno, ERRNO_SENTINEL);
    aoma_os_unmap(mem, BYTES);
    assert_int_equal(errno, ERRNO_SENTINEL);
}
