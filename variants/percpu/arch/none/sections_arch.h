/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* A processor without sections: none is ever tried, since fronts are never made. */
#ifndef AOMA_PERCPU_SECTIONS_ARCH_H
#define AOMA_PERCPU_SECTIONS_ARCH_H

AOMA_INLINE bool aoma_sections_exist(void)
{
    return false;
}

AOMA_INLINE void *aoma_section_pop(intptr_t area, intptr_t id, unsigned class)
{
    (void)area, (void)id, (void)class;
    return NULL;
}

AOMA_INLINE bool aoma_section_push(intptr_t area, intptr_t id, unsigned class, void *block)
{
    (void)area, (void)id, (void)class, (void)block;
    return false;
}

AOMA_INLINE unsigned aoma_section_pop_batch(intptr_t area, intptr_t id, unsigned class, void **blocks, unsigned n)
{
    (void)area, (void)id, (void)class, (void)blocks, (void)n;
    return 0;
}

AOMA_INLINE bool aoma_section_push_batch(intptr_t area, intptr_t id, unsigned class, void *const *blocks, unsigned n)
{
    (void)area, (void)id, (void)class, (void)blocks, (void)n;
    return false;
}

#endif /* AOMA_PERCPU_SECTIONS_ARCH_H */
