/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * The area that the C library (glibc 2.35 and later) registers with the kernel for each thread, and where it is. Its
 * fields are those of struct rseq, <linux/rseq.h>; of them this library writes rseq_cs alone.
 *
 * The symbols are weak: where they are missing, nothing is registered. __rseq_size is 0 as long as that is so, also
 * before there is a thread pointer; then nothing of the area may be touched.
 */
#ifndef AOMA_PERCPU_RSEQ_AREA_H
#define AOMA_PERCPU_RSEQ_AREA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "atomics.h"

extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned __rseq_size __attribute__((weak));
extern const unsigned __rseq_flags __attribute__((weak));

/* Bytes from the area's start. A thread that is not registered has a negative cpu_id. */
#define AOMA_RSEQ_CPU_ID 4
#define AOMA_RSEQ_CS 8
#define AOMA_RSEQ_MM_CID 24

/* What AT_RSEQ_FEATURE_SIZE must be at least for the kernel (6.3) to keep mm_cid. */
#define AOMA_RSEQ_MM_CID_END 28

/*
 * Where sections find the area, and the field in it that numbers the fronts, in bytes from the thread pointer. area is
 * written before id; id 0: there are no fronts (yet). Written once, with the same values by whoever comes first.
 */
struct aoma_rseq_place {
    struct aoma_ptr area;
    struct aoma_ptr id;
} __attribute__((aligned(64)));

extern AOMA_HIDDEN struct aoma_rseq_place aoma_rseq_place;

/* Acquire: pairs with the release of aoma_fronts_turn_on. */
AOMA_INLINE intptr_t aoma_rseq_id(void)
{
    return (intptr_t)aoma_ptr_load_acquire(&aoma_rseq_place.id);
}

/* After an id that is not 0. */
AOMA_INLINE intptr_t aoma_rseq_area(void)
{
    return (intptr_t)aoma_ptr_load_relaxed(&aoma_rseq_place.area);
}

AOMA_INLINE bool aoma_rseq_is_registered(void)
{
    return &__rseq_size && __rseq_size != 0;
}

AOMA_INLINE const volatile char *aoma_thread_pointer(void)
{
#if defined(__powerpc64__) /* where gcc has no built-in function for it */
    const volatile char *pointer;

    __asm__("mr %0, 13" : "=r"(pointer));
    return pointer;
#else
    return (const volatile char *)__builtin_thread_pointer();
#endif
}

/* x86-64: by the segment register, so that the thread pointer need not be read first. */
AOMA_INLINE uint32_t aoma_rseq_field(intptr_t at)
{
#if defined(__x86_64__)
    uint32_t value;

    __asm__ volatile("movl %%fs:(%1), %0" : "=r"(value) : "r"(at));
    return value;
#else
    const volatile char *field = aoma_thread_pointer() + at;

    return *(const volatile uint32_t *)(const volatile void *)field;
#endif
}

/* Where the area is registered. */
AOMA_INLINE uint32_t aoma_rseq_cpu(void)
{
    return aoma_rseq_field(__rseq_offset + AOMA_RSEQ_CPU_ID);
}

#endif /* AOMA_PERCPU_RSEQ_AREA_H */
