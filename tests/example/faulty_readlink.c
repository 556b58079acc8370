/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */
/* Loaded before the crash handler, makes it fault inside itself: its readlink(2) writes to the null page. */
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

static volatile uintptr_t nowhere;

ssize_t readlink(__attribute__((unused)) const char *restrict path, __attribute__((unused)) char *restrict target,
                 size_t bytes)
{
    *(volatile char *)nowhere = (char)bytes;
    return -1;
}
