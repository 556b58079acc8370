/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* Before AO_malloc_enable_mmap() no function makes a system call: the kernel is asked to refuse them all. */

#define _GNU_SOURCE
#include "test.h"

#include <aomalloc.h>

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SEEN = 3 }; /* exit status: a system call was made */

static _Noreturn void on_system_call(int signal, siginfo_t *info, void *context)
{
    (void)context;
    (void)signal;
    char text[] = "system call 000\n";
    for (int at = 14, number = info->si_syscall; at > 11; at--, number /= 10)
        text[at] = (char)('0' + number % 10);
    ssize_t written = write(2, text, sizeof text - 1);
    (void)written;
    _exit(SEEN);
}

/* All but what ends the process, reports, and returns from a handler. */
static void refuse_system_calls(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigreturn, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof filter[0], filter};
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_system_call;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGSYS, &action, NULL);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        test_skip("seccomp filters are not available");
}

/*
 * Where the static heap begins in its window is the linker's choice, and a block in the middle cuts the rest in two:
 * one of up to an eighth leaves room for another twice as long wherever it lies.
 */
static void use_every_size(void)
{
    for (size_t size = 0; size < TEST_HEAP_BYTES / 8; size = size * 5 / 4 + 1) {
        unsigned char *block = AO_malloc(size);
        CHECK(block != NULL);
        CHECK(AO_malloc_usable_size(block) >= size);
        block = AO_realloc(block, size * 2 + 1);
        CHECK(block != NULL);
        AO_free(block);
        block = AO_calloc(size, 1);
        CHECK(block != NULL);
        AO_free(block);
        block = AO_aligned_alloc(64, size);
        CHECK(block != NULL);
        AO_free(block);
    }
}

static void use_until_exhausted(size_t size)
{
    void **first = NULL, **block;

    while ((block = AO_malloc(size))) {
        *block = first;
        first = block;
    }
    CHECK(errno == ENOMEM);
    CHECK(first != NULL);
    CHECK(AO_calloc(size, 1) == NULL);
    /* It may get chunks of two segments, which are no room for a run of blocks. */
    AO_free(AO_aligned_alloc(64, size));
    CHECK(AO_realloc(first, TEST_HEAP_BYTES) == NULL);
    CHECK(AO_malloc_trim() == 0);
    while (first) {
        block = *first;
        AO_free(first);
        first = block;
    }
}

static void use_everything(void)
{
    static _Alignas(8192) unsigned char region[256 * 1024];

    use_every_size();
    use_until_exhausted(16);
    use_until_exhausted(1000);
    use_until_exhausted(20000);
    use_until_exhausted(200 * KIB < TEST_HEAP_BYTES / 2 ? 200 * KIB : TEST_HEAP_BYTES / 2);
    CHECK(AO_malloc_add_region(region, sizeof region) == 0);
    CHECK(AO_malloc_add_region(region, sizeof region) == -1);
    AO_malloc_set_limit(SIZE_MAX);
    CHECK(AO_malloc_is_lock_free() == 1);
    CHECK(AO_malloc_variant() != NULL);
    CHECK(AO_malloc_mode() != NULL);
    CHECK(AO_malloc_version() == AOMALLOC_VERSION);
    use_until_exhausted(1000);
    use_until_exhausted(100);
    use_every_size();
    CHECK(AO_malloc_trim() == 0);
}

/* The runtimes of sanitizers, and valgrind, make system calls of their own. */
static void require_bare_process(void)
{
    if (test_instrumented())
        test_skip("instrumented code makes system calls");
}

TEST(no_system_call_before_enable_mmap)
{
    require_bare_process();
    refuse_system_calls();
    use_everything();
}

/* Only read, write, exit and rt_sigreturn are left to the process; any other kills it. */
TEST(works_in_strict_seccomp)
{
    require_bare_process();
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0)
        test_skip("strict seccomp is not available");
    use_everything();
    syscall(SYS_exit, 0);
}

TEST(enable_mmap_set_limit_and_usable_size_make_no_system_call)
{
    require_bare_process();
    void *block = AO_malloc(100);
    refuse_system_calls();
    AO_malloc_set_limit(1000 * MIB);
    AO_malloc_enable_mmap();
    AO_malloc_set_limit(10 * MIB);
    CHECK(AO_malloc_usable_size(block) >= 100);
    CHECK(AO_malloc_is_lock_free() == 1);
    CHECK(AO_malloc_variant() != NULL);
    CHECK(AO_malloc_version() == AOMALLOC_VERSION);
}
