/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * The front of a thread. Thread-local is a pointer alone: the front lies in memory that is never unmapped, so whoever
 * looks at it need not know whether its thread still lives. Before the front:
 *
 *   claim[c]   not 0 while the thread is in the middle of a pop or push of stack c: where the call is on the thread's
 *              own stack.
 *              Written by the thread alone, by plain stores. A handler that finds it set leaves the stack alone; so
 *              does who empties the front. Set for good by a call that was left by siglongjmp: whoever of the thread
 *              comes by at the same position, or with a frame that covers it, knows that the call is over, and takes it
 *              down. All are taken down when the thread ends.
 *   drainer    0: attached. Else who has detached it to empty it: the address of a thread's drain, see below.
 *
 * A thread that sets a claim and whoever detaches the front may both miss the other, unless each has a fence between
 * its store and its load. The thread has none, so membarrier puts one into it:
 *
 *     thread:   claim[c] = position; if drainer != 0: claim[c] = 0, give up.   ... claim[c] = 0
 *     drainer:  drainer: 0 -> its drain; membarrier; if claim[c] == 0: empty the stack of c.   ... drainer = 0
 *
 * If the thread's load came before the barrier, so did its store: the drainer sees the claim, or its end and with it
 * (release, acquire) all that was done. If it came after, the thread sees the drainer.
 */
#ifndef AOMA_PERTHREAD_THREAD_FRONT_H
#define AOMA_PERTHREAD_THREAD_FRONT_H

#include "front.h"
#include "stack_position.h"

struct aoma_thread_head {
    struct aoma_ptr drainer;
    struct aoma_hint number; /* of this front; the same always */
    struct aoma_ptr claim[AOMA_FRONT_STACKS];
} __attribute__((aligned(64)));

/* Initial-exec: reading it is no call. May be touched only when fronts are on: earlier there may be no thread pointer.
 * Changed by the thread and its handlers alone. */
extern AOMA_HIDDEN __thread struct aoma_front *volatile aoma_thread_front __attribute__((tls_model("initial-exec")));

/*
 * The drains of the thread that are under way, each a handler's in the one before, by position (stack_position.h); 0:
 * none. One that was left by siglongjmp stays until a call of the thread comes by at the same position, or with a frame
 * that covers it, or until the thread ends: fronts that it has detached are attached then. While all are in use the
 * thread empties no fronts.
 */
#define AOMA_THREAD_DRAINS 8u
extern AOMA_HIDDEN __thread volatile uintptr_t aoma_thread_drains[AOMA_THREAD_DRAINS]
    __attribute__((tls_model("initial-exec")));

/* Calls that go without a front before another of the thread looks for one. */
extern AOMA_HIDDEN __thread volatile unsigned aoma_thread_skip __attribute__((tls_model("initial-exec")));

/* By number of front: 0 it is nobody's; else the address of the owner's aoma_thread_front, which differs between
 * threads. CAS from 0; else written by the owner. */
extern AOMA_HIDDEN struct aoma_ptr aoma_thread_owners[AOMA_NUMBERS];

/* 0 -> 1: there are fronts. */
extern AOMA_HIDDEN struct aoma_ptr aoma_threads_on;

AOMA_INLINE struct aoma_thread_head *aoma_thread_head(const struct aoma_front *front)
{
    return (struct aoma_thread_head *)(uintptr_t)front - 1;
}

/* Of the stack with this number. Order: drainer is read with acquire, which pairs with the release that attaches: the
 * stack as it was left. */
AOMA_INLINE bool aoma_claim_try(const struct aoma_front *front, unsigned number)
{
    struct aoma_thread_head *head = aoma_thread_head(front);
    uintptr_t here = aoma_stack_position();
    uintptr_t claim = aoma_ptr_load_relaxed(&head->claim[number]);

    if (aoma_unlikely(claim) && claim != here)
        return false;
    aoma_ptr_store_relaxed(&head->claim[number], here);
    if (aoma_likely(!aoma_ptr_load_acquire(&head->drainer)))
        return true;
    aoma_ptr_store_release(&head->claim[number], 0);
    return false;
}

AOMA_INLINE void aoma_claim_end(const struct aoma_front *front, unsigned number)
{
    aoma_ptr_store_release(&aoma_thread_head(front)->claim[number], 0);
}

#endif /* AOMA_PERTHREAD_THREAD_FRONT_H */
