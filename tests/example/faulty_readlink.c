/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */
/* Loaded before the crash handler, makes it fault inside itself: its readlink(2) writes to the null page. */
#include <stddef.h>
#include <unistd.h>

ssize_t readlink(const char *restrict path, char *restrict target, size_t bytes)
{
    static char *volatile nowhere;
    (void)path;
    (void)target;
    nowhere[0] = (char)bytes;
    return -1;
}
