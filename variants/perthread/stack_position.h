/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Where the stack of the calling function is: never 0, and an address of memory that is in use as long as the function
 * has not returned, be it a word of its own frame, its return address or a word of its caller's. So two calls that are
 * both under way, in whatever threads, handlers or coroutines, have different positions unless one calls the other and
 * nothing is between them; who finds its own position noted by a call that it does not come from knows that that call
 * has ended, or was left by siglongjmp, or was its thread's last.
 *
 * Not the address of a variable where that can be avoided, for which compilers make a frame that stays.
 */
#ifndef AOMA_PERTHREAD_STACK_POSITION_H
#define AOMA_PERTHREAD_STACK_POSITION_H

#include "compiler.h"

AOMA_INLINE uintptr_t aoma_stack_position(void)
{
    uintptr_t position;

#if defined(__x86_64__)
    __asm__("movq %%rsp, %0" : "=r"(position));
#elif defined(__aarch64__)
    __asm__("mov %0, sp" : "=r"(position));
#else
    char here;

    position = (uintptr_t)&here;
    AOMA_OPAQUE(position);
#endif
    return position;
}

#endif /* AOMA_PERTHREAD_STACK_POSITION_H */
