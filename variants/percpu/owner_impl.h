/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* percpu: a front is a CPU's, and restartable sections (sections.h) keep others away. */
#ifndef AOMA_PERCPU_OWNER_IMPL_H
#define AOMA_PERCPU_OWNER_IMPL_H

#include "cpu.h"
#include "sections.h"

#define AOMA_VARIANT_NAME "percpu"
#define AOMA_FRONT_HEAD_BYTES 0
#define AOMA_FRONTS_AT_ONCE 1u /* CPUs are few, and each is missed while its front is away */

AOMA_INLINE bool aoma_fronts_exist(void)
{
    return aoma_sections_exist();
}

/*
 * Where the field is that numbers the fronts. Constant where the processor has no sections: what is about fronts folds
 * away there, and its frames are in no chain of calls.
 */
AOMA_INLINE intptr_t aoma_fronts_on(void)
{
    return aoma_sections_exist() ? aoma_rseq_id() : 0;
}

AOMA_INLINE void *aoma_front_pop(intptr_t on, unsigned class)
{
    return aoma_section_pop(aoma_rseq_area(), on, class);
}

AOMA_INLINE bool aoma_front_push(intptr_t on, unsigned class, void *block)
{
    return aoma_section_push(aoma_rseq_area(), on, class, block);
}

AOMA_INLINE unsigned aoma_front_pop_batch(intptr_t on, unsigned class, void **blocks, unsigned n)
{
    return aoma_section_pop_batch(aoma_rseq_area(), on, class, blocks, n);
}

AOMA_INLINE bool aoma_front_push_batch(intptr_t on, unsigned class, void *const *blocks, unsigned n)
{
    return aoma_section_push_batch(aoma_rseq_area(), on, class, blocks, n);
}

AOMA_INLINE size_t aoma_front_owner(intptr_t on)
{
    return (size_t)aoma_rseq_field(on) + 1;
}

AOMA_INLINE struct aoma_front *aoma_front_attached(unsigned number)
{
    return (struct aoma_front *)aoma_ptr_load_acquire(&aoma_fronts[number]);
}

AOMA_INLINE struct aoma_front *aoma_front_here(void)
{
    uint32_t number = aoma_rseq_field(aoma_rseq_id());

    return number < AOMA_NUMBERS ? aoma_front_attached(number) : NULL;
}

/* A section that a handler interrupts is aborted. */
AOMA_INLINE bool aoma_front_is_busy(unsigned class)
{
    (void)class;
    return false;
}

AOMA_INLINE uintptr_t aoma_fronts_drain_begin(void)
{
    return 1;
}

AOMA_INLINE void aoma_fronts_drain_end(uintptr_t by)
{
    (void)by;
}

AOMA_INLINE struct aoma_front *aoma_front_to_drain(unsigned number, uintptr_t by)
{
    (void)by;
    return aoma_front_attached(number);
}

AOMA_INLINE bool aoma_front_detach(unsigned number, struct aoma_front *front, uintptr_t by)
{
    (void)by;
    return aoma_ptr_cas_full(&aoma_fronts[number], (uintptr_t)front, 0);
}

AOMA_INLINE void aoma_front_attach(unsigned number, struct aoma_front *front)
{
    (void)aoma_ptr_cas_full(&aoma_fronts[number], 0, (uintptr_t)front);
}

/*
 * With the front detached no section begins on it. One that had begun is aborted by membarrier if it runs, and by its
 * return to user space if it does not.
 */
AOMA_INLINE bool aoma_fronts_barrier(void)
{
    return aoma_rseq_restart_all();
}

AOMA_INLINE bool aoma_front_is_quiet(const struct aoma_front *front, unsigned class)
{
    (void)front, (void)class;
    return true;
}

#endif /* AOMA_PERCPU_OWNER_IMPL_H */
