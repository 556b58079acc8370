/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * The contract between the fronts and the variants that have some: whose a front is, a CPU's (percpu) or a thread's
 * (perthread), and what keeps all others away from it. Such a variant is a folder that holds owner_impl.h, found by
 * include path, and whatever sources that needs; all else is here. Files of this folder never ask which one it is.
 *
 * What lib/variant.h says for all operations holds here too. Pop and push, of single blocks and of batches, are tried
 * once, on the front of the caller, and may fail for any reason: that it has none, that there is no block or no room,
 * or that something came between. Then they have changed nothing, and callers must have another way.
 *
 *   AOMA_VARIANT_NAME                             the name of the folder
 *   AOMA_FRONTS_AT_ONCE                           fronts that are detached at once, for one membarrier; a thread that
 *                                                 dies there takes as many with it
 *   AOMA_FRONT_HEAD_BYTES                         zeroed memory before each front for its owner, whole cache lines
 *   unsigned aoma_number(void)                    below AOMA_NUMBERS: the heap for the caller, a hint
 *   bool aoma_fronts_exist(void)                  a constant: false where there can be none
 *   intptr_t aoma_fronts_on(void)                 0: there are no fronts (yet), the heaps serve. Else what is handed to
 *                                                 pop and push
 *   void *aoma_front_pop(on, class)               NULL: failed
 *   bool aoma_front_push(on, stack, block)
 *   unsigned aoma_front_pop_batch(on, stack, blocks, n)    how many
 *   bool aoma_front_push_batch(on, class, blocks, n)       all or none; n is not 0
 *   size_t aoma_front_owner(on)                   what aoma_run.owner says of a run that blocks were taken from for the
 *                                                 caller's front
 *   struct aoma_front *aoma_front_here(void)      the caller's front, of which a hint may be written; NULL: none
 *   bool aoma_front_is_busy(stack)                whether pop and push of it are bound to fail until the caller, a
 *                                                 handler, has returned
 *
 * Fronts have numbers, too. One that is attached is in use by its owner; who detaches it and gets past
 * aoma_fronts_barrier() has those of its stacks to itself that aoma_front_is_quiet tells, until he attaches it again.
 *
 *   uintptr_t aoma_fronts_drain_begin(void)           what to detach with until the caller returns; 0: not now
 *   void aoma_fronts_drain_end(by)
 *   struct aoma_front *aoma_front_attached(number)    NULL: there is none, or it is detached
 *   struct aoma_front *aoma_front_to_drain(number, by)    that, or detached with the same by a call that is over
 *   bool aoma_front_detach(number, front, by)         false: somebody else did
 *   bool aoma_fronts_barrier(void)                    what owners do from now on they do knowing which fronts are
 *                                                     detached, and what they did before is seen; false: refused
 *   bool aoma_front_is_quiet(front, stack)            whether the owner cannot be in the middle of a pop or a push
 *   void aoma_front_attach(number, front)             publishes what was done
 */
#ifndef AOMA_FRONTS_OWNER_H
#define AOMA_FRONTS_OWNER_H

#include <stdbool.h>
#include <stdint.h>

#include "front.h"
#include "numbers.h"

#include "owner_impl.h"

/* The stack for a block of the run, of class, that its caller frees. */
AOMA_INLINE unsigned aoma_front_stack_for(intptr_t on, const struct aoma_run *run, unsigned class)
{
    bool foreign = class < AOMA_FRONT_SHARING_CLASSES && aoma_hint_get(&run->owner) != aoma_front_owner(on);

    return aoma_unlikely(foreign) ? AOMA_FRONT_FOREIGN + class : class;
}

#endif /* AOMA_FRONTS_OWNER_H */
