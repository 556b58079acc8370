/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

#define _GNU_SOURCE
#include "process.h"
#include "child.h"
#include "mremap.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

/* The field-th number of /proc/self/statm, in bytes. */
static size_t statm(unsigned field)
{
    char text[128];
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t length = read(fd, text, sizeof text - 1);
    CHECK(length > 0);
    close(fd);
    text[length] = 0;

    char *at = text;
    unsigned long pages = strtoul(at, &at, 10);
    while (field--)
        pages = strtoul(at, &at, 10);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

size_t process_mapped_bytes(void)
{
    return statm(0);
}

size_t process_resident_bytes(void)
{
    return statm(1);
}

void refuse_system_call(unsigned number)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof filter[0], filter};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        test_skip("seccomp filters are not available");
}

static void shorten(void *unused)
{
    (void)unused;
    CHECK(mremap_shortens_soundly());
}

void require_shortening_mremap(void)
{
    struct child_result result;

    child_run(shorten, NULL, CHILD_STDERR_CAPTURED, &result);
    if (result.status != 0)
        test_skip("mremap() takes away what follows the memory that it shortens: a fault of qemu-user for 32 bits");
}
