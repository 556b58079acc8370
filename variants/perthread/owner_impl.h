/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* perthread: a front is a thread's, and a claim per stack keeps others away (thread_front.h). */
#ifndef AOMA_PERTHREAD_OWNER_IMPL_H
#define AOMA_PERTHREAD_OWNER_IMPL_H

#include "inject.h"
#include "thread_front.h"

#define AOMA_VARIANT_NAME "perthread"
#define AOMA_FRONT_HEAD_BYTES sizeof(struct aoma_thread_head)
#define AOMA_FRONTS_AT_ONCE 8u

/* Heaps that threads are spread over. */
#define AOMA_THREAD_HEAPS 64u

AOMA_INLINE bool aoma_fronts_exist(void)
{
    return true;
}

/* Acquire: pairs with the release of aoma_fronts_turn_on. */
AOMA_INLINE intptr_t aoma_fronts_on(void)
{
    return (intptr_t)aoma_ptr_load_acquire(&aoma_threads_on);
}

/* The number of the thread's front, else by its stack. */
AOMA_INLINE unsigned aoma_number(void)
{
    const struct aoma_front *front = aoma_likely(aoma_fronts_on()) ? aoma_thread_front : NULL;
    size_t number = front ? aoma_hint_get(&aoma_thread_head(front)->number) : aoma_number_by_stack();

    return AOMA_INJECT_NUMBER((unsigned)number % AOMA_THREAD_HEAPS) % AOMA_NUMBERS;
}

AOMA_INLINE void *volatile *aoma_thread_slots(struct aoma_front *front)
{
    return (void *volatile *)(void *)front;
}

/* In all four the store of top comes last, also for a handler that leaves by siglongjmp: slots and top are volatile. */
AOMA_INLINE void *aoma_front_pop(intptr_t on, unsigned number)
{
    struct aoma_front *front = aoma_thread_front;
    void *block = NULL;

    (void)on;
    if (aoma_unlikely(!front) || !aoma_claim_try(front, number))
        return NULL;
    struct aoma_front_stack *stack = &front->stack[number];
    unsigned top = stack->top;
    if (aoma_likely(top > stack->bottom)) {
        block = aoma_thread_slots(front)[top - 1];
        stack->top = top - 1;
        aoma_prefetch_for_change(aoma_thread_slots(front)[top - 2]); /* need not be a block */
    }
    aoma_claim_end(front, number);
    return block;
}

AOMA_INLINE bool aoma_front_push(intptr_t on, unsigned number, void *block)
{
    struct aoma_front *front = aoma_thread_front;

    (void)on;
    if (aoma_unlikely(!front) || !aoma_claim_try(front, number))
        return false;
    struct aoma_front_stack *stack = &front->stack[number];
    unsigned top = stack->top;
    bool fits = top < stack->end;
    if (aoma_likely(fits)) {
        aoma_thread_slots(front)[top] = block;
        stack->top = top + 1;
    }
    aoma_claim_end(front, number);
    return fits;
}

AOMA_INLINE unsigned aoma_front_pop_batch(intptr_t on, unsigned number, void **blocks, unsigned n)
{
    struct aoma_front *front = aoma_thread_front;

    (void)on;
    if (!front || !aoma_claim_try(front, number))
        return 0;
    struct aoma_front_stack *stack = &front->stack[number];
    unsigned top = stack->top;
    unsigned count = top - stack->bottom;
    if (count > n)
        count = n;
    AOMA_UNROLLED
    for (unsigned i = 0; i < count; i++)
        blocks[i] = aoma_thread_slots(front)[top - count + i];
    stack->top = top - count;
    aoma_claim_end(front, number);
    return count;
}

AOMA_INLINE bool aoma_front_push_batch(intptr_t on, unsigned number, void *const *blocks, unsigned n)
{
    struct aoma_front *front = aoma_thread_front;

    (void)on;
    if (!front || !aoma_claim_try(front, number))
        return false;
    struct aoma_front_stack *stack = &front->stack[number];
    unsigned top = stack->top;
    bool fits = top + n <= stack->end;
    if (fits) {
        AOMA_UNROLLED
        for (unsigned i = 0; i < n; i++)
            aoma_thread_slots(front)[top + i] = blocks[i];
        stack->top = top + n;
    }
    aoma_claim_end(front, number);
    return fits;
}

/* 0, which no run has that blocks were taken from for a front: the caller has none. */
AOMA_INLINE size_t aoma_front_owner(intptr_t on)
{
    const struct aoma_front *front = aoma_thread_front;

    (void)on;
    return front ? aoma_hint_get(&aoma_thread_head(front)->number) + 1 : 0;
}

AOMA_INLINE struct aoma_front *aoma_front_here(void)
{
    return aoma_thread_front;
}

/* The thread is in the middle of something, and this is its handler; or a claim was left. */
AOMA_INLINE bool aoma_front_is_busy(unsigned number)
{
    const struct aoma_front *front = aoma_thread_front;

    return front && aoma_ptr_load_relaxed(&aoma_thread_head(front)->claim[number]);
}

/* The address of a drain of this thread; 0: all are in use. */
uintptr_t aoma_thread_drain_begin(uintptr_t position);

AOMA_INLINE uintptr_t aoma_fronts_drain_begin(void)
{
    return aoma_thread_drain_begin(aoma_stack_position());
}

/* Behind the stores that attach, also for handlers: one that found the drain free would take over what is detached. */
AOMA_INLINE void aoma_fronts_drain_end(uintptr_t by)
{
    aoma_compiler_barrier();
    if (by)
        *(volatile uintptr_t *)by = 0;
}

AOMA_INLINE struct aoma_front *aoma_front_to_drain(unsigned number, uintptr_t by)
{
    struct aoma_front *front = aoma_front_made(number);
    uintptr_t drainer = front ? aoma_ptr_load_acquire(&aoma_thread_head(front)->drainer) : 0;

    return !drainer || drainer == by ? front : NULL;
}

AOMA_INLINE struct aoma_front *aoma_front_attached(unsigned number)
{
    return aoma_front_to_drain(number, 0);
}

AOMA_INLINE bool aoma_front_detach(unsigned number, struct aoma_front *front, uintptr_t by)
{
    (void)number;
    return aoma_ptr_load_acquire(&aoma_thread_head(front)->drainer) == by ||
           aoma_ptr_cas_full(&aoma_thread_head(front)->drainer, 0, by);
}

AOMA_INLINE void aoma_front_attach(unsigned number, struct aoma_front *front)
{
    (void)number;
    aoma_ptr_store_release(&aoma_thread_head(front)->drainer, 0);
}

bool aoma_fronts_barrier(void);

/* A thread that sets its claim after the barrier gives up. Those of one that has ended are not set. */
AOMA_INLINE bool aoma_front_is_quiet(const struct aoma_front *front, unsigned number)
{
    return !aoma_ptr_load_acquire(&aoma_thread_head(front)->claim[number]);
}

#endif /* AOMA_PERTHREAD_OWNER_IMPL_H */
