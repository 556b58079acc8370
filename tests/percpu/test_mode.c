/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* Where restartable sequences are not to be had, the heaps serve, and AO_malloc_mode() says why. */

#define _GNU_SOURCE
#include "test.h"

#include "child.h"
#include "process.h"

#include <aomalloc.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Set in a process that was started by a test: what its mode must begin with. */
#define EXPECTED "AOMALLOC_TEST_EXPECTED_MODE"

#if defined(__aarch64__)
enum { RELEASE_MATTERS = true };
#else
enum { RELEASE_MATTERS = false };
#endif

static void use_heap(void)
{
    void *blocks[1000];

    for (unsigned i = 0; i < 1000; i++) {
        blocks[i] = AO_malloc(16 + i * 3);
        CHECK(blocks[i]);
        memset(blocks[i], (int)i, 16 + i * 3);
    }
    for (unsigned i = 0; i < 1000; i++)
        AO_free(blocks[i]);
    AO_malloc_trim();
}

TEST(mode_before_mmap)
{
    CHECK(strncmp(AO_malloc_mode(), "cas", 3) == 0);
    use_heap();
    CHECK(strncmp(AO_malloc_mode(), "cas", 3) == 0);
}

TEST(mode_after_mmap)
{
    const char *expected = getenv(EXPECTED);

    AO_malloc_enable_mmap();
    errno = ERRNO_SENTINEL;
    const char *mode = AO_malloc_mode();
    CHECK(errno == ERRNO_SENTINEL);
    printf("mode: %s\n", mode);
    CHECK(strcmp(mode, "rseq") == 0 || strncmp(mode, "cas", 3) == 0);
    CHECK(!expected || strncmp(mode, expected, strlen(expected)) == 0);
    use_heap();
    CHECK(strcmp(AO_malloc_mode(), mode) == 0);
}

/* For what only a processor with sections says. */
static void require_sections(void)
{
    if (test_instrumented())
        test_skip("there are no sequences to begin with");
    if (strstr(AO_malloc_mode(), "processor"))
        test_skip(AO_malloc_mode());
}

static void start_again(const char *expected)
{
    setenv(EXPECTED, expected, 1);
    execl("/proc/self/exe", "test_mode", "mode_after_mmap", (char *)NULL);
    test_fail(__FILE__, __LINE__, "the program starts again");
}

TEST(membarrier_refused)
{
    require_sections();
    refuse_system_call(SYS_membarrier);
    start_again("cas: ");
}

TEST(rseq_refused)
{
    require_sections();
    refuse_system_call(SYS_rseq);
    start_again("cas: the C library has not");
}

/* A kernel that says to be 2.6 is not known to restart sequences as it must; where all do, that is not even asked. */
TEST(release_unknown)
{
    if (personality(UNAME26) < 0)
        test_skip("the kernel's release cannot be changed");
    AO_malloc_enable_mmap();
    errno = ERRNO_SENTINEL;
    const char *mode = AO_malloc_mode();
    CHECK(errno == ERRNO_SENTINEL);
    CHECK(RELEASE_MATTERS ? strncmp(mode, "cas: ", 5) == 0 : strstr(mode, "kernel") == NULL);
    use_heap();
    CHECK(strcmp(AO_malloc_mode(), mode) == 0);
}

TEST(rseq_turned_off)
{
    require_sections();
    setenv("GLIBC_TUNABLES", "glibc.pthread.rseq=0", 1);
    start_again("cas: the C library has not");
}
