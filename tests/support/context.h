/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* What a signal has interrupted. The only file that knows where processors keep it; where it does not, it is zero. */
#ifndef AOMALLOC_TEST_CONTEXT_H
#define AOMALLOC_TEST_CONTEXT_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>

#if defined(__x86_64__)
#define CONTEXT_ADDRESS uc_mcontext.gregs[REG_RIP]
#define CONTEXT_SYSTEM_CALL "\x0f\x05" /* syscall */
#elif defined(__i386__)
#define CONTEXT_ADDRESS uc_mcontext.gregs[REG_EIP]
#define CONTEXT_SYSTEM_CALL "\xcd\x80" /* int $0x80 */
#elif defined(__aarch64__) && !defined(__AARCH64EB__)
#define CONTEXT_ADDRESS uc_mcontext.pc
#define CONTEXT_SYSTEM_CALL "\x01\x00\x00\xd4" /* svc #0 */
#endif

#ifdef CONTEXT_ADDRESS
/* Of the next instruction. */
static inline uintptr_t context_address(const ucontext_t *context)
{
    return (uintptr_t)context->CONTEXT_ADDRESS;
}

static inline bool context_is_at_system_call(const ucontext_t *context)
{
    return memcmp((const void *)context_address(context), CONTEXT_SYSTEM_CALL, sizeof CONTEXT_SYSTEM_CALL - 1) == 0;
}
#else
static inline uintptr_t context_address(const ucontext_t *context)
{
    (void)context;
    return 0;
}

static inline bool context_is_at_system_call(const ucontext_t *context)
{
    (void)context;
    return false;
}
#endif

#endif /* AOMALLOC_TEST_CONTEXT_H */
