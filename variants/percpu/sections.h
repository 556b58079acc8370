/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * The restartable sections. Each is written once here in pseudo-code, and once per processor in a sections_arch.h
 * under arch. One that the kernel aborts (a signal, a preemption, a migration, membarrier's rseq command) has changed
 * nothing, since its one committing store is its last instruction. So what a section reads cannot change under it: on
 * the CPU whose number it has read it is alone. The number is read within the section, from the very field that
 * indexes the fronts.
 *
 * A descriptor must stay mapped after its section: rseq_cs keeps pointing to it until the kernel next looks, and a
 * process whose descriptor cannot be read is killed. So the library is linked with -z nodelete.
 *
 * area: bytes from the thread pointer to the registered area; id: to the field that holds the number.
 *
 *     begin:  rseq_cs = descriptor of this section
 *     front:  fail if *id >= AOMA_NUMBERS
 *             front = aoma_fronts[*id], fail if NULL
 *             stack = &front->stack[class]
 *
 *     pop:        begin, front; fail if top == bottom; block = slot[top - 1]; commit top - 1; then, behind the section,
 *                 prefetch what slot[top - 1] is now, which need not be a block
 *     push:       begin, front; fail if top == end; slot[top] = block; commit top + 1
 *     pop_batch:  begin, front; n = min(n, top - bottom), fail if 0; blocks[0 .. n - 1] = slot[top - n ..];
 *                 commit top - n
 *     push_batch: begin, front; fail if top + n > end; slot[top ..] = blocks[0 .. n - 1]; commit top + n
 *
 * Failing and being aborted look the same to the caller. Each section is tried once: under a debugger that steps
 * through it, it is aborted every time, so callers must have another way.
 *
 *   bool aoma_sections_exist(void)     whether this processor has any; constant
 *   void *aoma_section_pop(area, id, class)                        NULL: failed
 *   bool aoma_section_push(area, id, class, block)
 *   unsigned aoma_section_pop_batch(area, id, class, blocks, n)    how many
 *   bool aoma_section_push_batch(area, id, class, blocks, n)       n is not 0
 *
 * Order: the only reader or writer of a front while it is attached is its CPU, but for readers of hints (front.h) and
 * for whoever detaches it, who waits for membarrier.
 */
#ifndef AOMA_PERCPU_SECTIONS_H
#define AOMA_PERCPU_SECTIONS_H

#include "cpu.h"
#include "front.h"

/* By the number in the field that the kernel keeps: the front, 0 where there is none or it is being emptied. Written by
 * CAS: 0 -> the front by who made it or has emptied it, the front -> 0 by who empties it. */
extern AOMA_HIDDEN struct aoma_ptr aoma_fronts[AOMA_NUMBERS];

/* Restarts all sections that are under way in this process, by membarrier; false: it refused. */
bool aoma_rseq_restart_all(void);

#include "sections_arch.h"

#endif /* AOMA_PERCPU_SECTIONS_H */
