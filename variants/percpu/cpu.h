/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Which CPU, about: a number below AOMA_PERCPU_CPUS for the heap that the calling thread goes to. A hint: it may be
 * out of date before it is used, or wrong altogether. Makes no system call.
 *
 * From the area that the C library has registered for restartable sequences, where there is one: the kernel keeps the
 * number there. Else from the address of the stack, which tells threads apart. (sched_getcpu may be a system call, and
 * where it is none it took 11 ns here, more than an allocation.)
 */
#ifndef AOMA_PERCPU_CPU_H
#define AOMA_PERCPU_CPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compiler.h"
#include "inject.h"

#define AOMA_PERCPU_CPUS_SHIFT 12
#define AOMA_PERCPU_CPUS (1u << AOMA_PERCPU_CPUS_SHIFT) /* 4096; numbers above share heaps with those below */

/* Heaps that threads are spread over by their stacks; and what about one stack has for itself. */
#define AOMA_PERCPU_STACKS_SHIFT 6
#define AOMA_PERCPU_STACK_SHIFT 18

/* Defined by glibc 2.35 and later. size is 0 as long as nothing is registered, also before there is a thread pointer;
 * then nothing of the area may be touched. */
extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned __rseq_size __attribute__((weak));

/* Of struct rseq, <linux/rseq.h>. */
#define AOMA_RSEQ_CPU_ID 4

AOMA_INLINE bool aoma_rseq_is_registered(void)
{
    return &__rseq_size && __rseq_size != 0;
}

AOMA_INLINE unsigned aoma_percpu_by_stack(void)
{
    uint64_t stack = (uintptr_t)__builtin_frame_address(0) >> AOMA_PERCPU_STACK_SHIFT;

    /* Fibonacci hashing: neighbours go far apart. */
    return (unsigned)(stack * UINT64_C(0x9e3779b97f4a7c15) >> (64 - AOMA_PERCPU_STACKS_SHIFT));
}

AOMA_INLINE unsigned aoma_percpu_by_rseq(void)
{
    const volatile char *area = (const volatile char *)__builtin_thread_pointer() + __rseq_offset;

    return *(const volatile uint32_t *)(const volatile void *)(area + AOMA_RSEQ_CPU_ID);
}

AOMA_INLINE unsigned aoma_percpu_cpu(void)
{
    unsigned cpu = aoma_likely(aoma_rseq_is_registered()) ? aoma_percpu_by_rseq() : aoma_percpu_by_stack();

    return AOMA_INJECT_CPU(cpu) % AOMA_PERCPU_CPUS;
}

#endif /* AOMA_PERCPU_CPU_H */
