/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */
#include "demo.h"

#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile int zero;
static volatile int one = 1;
static void *volatile nowhere;

void crash_segv(void)
{
    *(volatile int *)nowhere = 1;
}

void crash_abort(void)
{
    abort();
}

void crash_fpe(void)
{
    zero = one / zero;
    raise(SIGFPE); /* on machines whose division does not trap, Arm for one */
}

/* A mapping beyond the end of its file. */
void crash_bus(void)
{
    int fd = memfd_create("empty", 0);
    volatile char *page = mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    page[0] = 1;
}

void crash_ill(void)
{
    raise(SIGILL);
}

void crash_null_call(void)
{
    void (*function)(void) = (void (*)(void))(uintptr_t)nowhere;
    function();
}

/* The limit is never reached; without one a compiler may take the recursion for a bug. */
static int overflow(const volatile char *above, size_t depth)
{
    volatile char frame[4096];
    frame[0] = above[0];
    return depth == SIZE_MAX ? frame[0] : overflow(frame, depth + 1) + frame[0];
}

void crash_stack_overflow(void)
{
    volatile char first = 1;
    zero = overflow(&first, 0);
}

/* The child shares the parent's memory and thus the handler's state. */
void crash_after_vfork(void)
{
    pid_t child = vfork();
    if (child == 0)
        crash_segv();
    waitpid(child, NULL, 0);
    crash_abort();
}

/* Everything above this frame is lost, as with a long write into a buffer on the stack. */
void crash_smashed_stack(void)
{
    volatile char *frame = __builtin_frame_address(0);
    for (size_t i = 0; i < 512; i++)
        frame[i] = 0x41;
    *(volatile int *)nowhere = 1;
}
