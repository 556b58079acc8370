/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Which CPU, about: a number below AOMA_NUMBERS for the heap that the calling thread goes to. A hint: it may be out of
 * date before it is used, or wrong altogether. Makes no system call.
 *
 * From the area that the C library has registered for restartable sequences, where there is one: the kernel keeps the
 * number there. Else from the address of the stack.
 */
#ifndef AOMA_PERCPU_CPU_H
#define AOMA_PERCPU_CPU_H

#include "inject.h"
#include "numbers.h"
#include "rseq_area.h"

AOMA_INLINE unsigned aoma_number(void)
{
    intptr_t id = aoma_rseq_id();
    unsigned cpu;

    if (aoma_likely(id))
        cpu = aoma_rseq_field(id); /* the number of the front, so that both go together */
    else
        cpu = aoma_rseq_is_registered() ? aoma_rseq_cpu() : aoma_number_by_stack();
    return AOMA_INJECT_NUMBER(cpu) % AOMA_NUMBERS; /* those above share heaps with those below */
}

#endif /* AOMA_PERCPU_CPU_H */
