/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */
/*
 * The only file that knows where the handler's memory comes from. Built with CRASH_REPORT_LIBC the same example takes
 * it from the C library, which is what a handler must not do: crash_demo --how in-malloc shows why.
 *
 * With aomalloc the 2 MiB static heap is enough for any report, so mmap is not enabled and allocating makes no system
 * call at all, which also keeps the handler working under a seccomp filter that forbids mmap.
 */
#ifndef CRASH_REPORT_ALLOC_H
#define CRASH_REPORT_ALLOC_H

#ifdef CRASH_REPORT_LIBC
#include <stdlib.h>
#define report_alloc(bytes) malloc(bytes)
#define report_free(block) free(block)
#define report_allocator() "libc"
#else
#include <aomalloc.h>
#define report_alloc(bytes) AO_malloc(bytes)
#define report_free(block) AO_free(block)
#define report_allocator() "aomalloc"
#endif

#endif
