/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Which CPU, about: a number below AOMA_PERCPU_CPUS for the heap that the calling thread goes to. A hint: it may be
 * out of date before it is used, or wrong altogether. Makes no system call.
 *
 * From the area that the C library has registered for restartable sequences, where there is one: the kernel keeps the
 * number there. Else from the address of the stack, which tells threads apart.
 */
#ifndef AOMA_PERCPU_CPU_H
#define AOMA_PERCPU_CPU_H

#include "inject.h"
#include "rseq_area.h"

#define AOMA_PERCPU_CPUS_SHIFT 12
#define AOMA_PERCPU_CPUS (1u << AOMA_PERCPU_CPUS_SHIFT) /* 4096; numbers above share heaps with those below */

/* Heaps that threads are spread over by their stacks; and what about one stack has for itself. */
#define AOMA_PERCPU_STACKS_SHIFT 6
#define AOMA_PERCPU_STACK_SHIFT 18

AOMA_INLINE unsigned aoma_percpu_by_stack(void)
{
    char here; /* not __builtin_frame_address, which makes a frame */
    uintptr_t address = (uintptr_t)&here;

    AOMA_OPAQUE(address);
    uint64_t stack = address >> AOMA_PERCPU_STACK_SHIFT;

    /* Fibonacci hashing: neighbours go far apart. */
    return (unsigned)(stack * UINT64_C(0x9e3779b97f4a7c15) >> (64 - AOMA_PERCPU_STACKS_SHIFT));
}

AOMA_INLINE unsigned aoma_percpu_cpu(void)
{
    intptr_t id = aoma_rseq_id();
    unsigned cpu;

    if (aoma_likely(id))
        cpu = aoma_rseq_field(id); /* the number of the front, so that both go together */
    else
        cpu = aoma_rseq_is_registered() ? aoma_rseq_cpu() : aoma_percpu_by_stack();
    return AOMA_INJECT_CPU(cpu) % AOMA_PERCPU_CPUS;
}

#endif /* AOMA_PERCPU_CPU_H */
