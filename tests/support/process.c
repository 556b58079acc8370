/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

#define _GNU_SOURCE
#include "process.h"
#include "test.h"

#include <fcntl.h>
#include <stdlib.h>
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
