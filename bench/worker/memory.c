/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

#include "memory.h"

#include "harness.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The number behind a key in a /proc file of lines "Key:   123 kB". Both files used here fit into one read. */
static long kib_in(const char *path, const char *key)
{
    char text[4096];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t length = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (length <= 0)
        return -1;
    text[length] = '\0';
    const char *line = strstr(text, key);
    return line != NULL ? strtol(line + strlen(key), NULL, 10) : -1;
}

/* VmRSS lags behind by some pages per thread or CPU, depending on the kernel; smaps_rollup counts the page tables. */
long bench_resident_kib(void)
{
    long kib = kib_in("/proc/self/smaps_rollup", "\nRss:");
    return kib >= 0 ? kib : kib_in("/proc/self/status", "\nVmRSS:");
}

/* Not getrusage: its maximum survives exec and so would start with the driver's. */
long bench_peak_resident_kib(void)
{
    return kib_in("/proc/self/status", "\nVmHWM:");
}

void *bench_map_resident(unsigned long bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED)
        bench_fail(BENCH_EXIT_FAILED, "no memory for the harness's own arrays");
    memset(memory, 0, bytes);
    return memory;
}
