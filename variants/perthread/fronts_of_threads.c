/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Which front is whose: a table that fronts are never taken out of, and in which each is nobody's or some thread's.
 *
 * A thread is its own only competitor, in handlers. Correctness: (1) A thread gets a front by a CAS on its word in the
 * table, and has it from then on, whatever becomes of the call: the next one looks first for what is the thread's
 * already. So a handler in between, and who comes after a siglongjmp, take the same front. (2) The pointer is set after
 * the word in the table, and removed before the word is. While it is NULL no call of the thread is in the middle of a
 * pop or push of it, so its claims mean nothing and are taken down. (3) A thread that ends gets no front any more, and
 * its pointer goes first of all: handlers of then, and destructors of keys that come after, use the heap. So a claim
 * that somebody else finds set is always a thread's that may be in the middle, or that is gone without notice.
 *
 * The child of a fork has the table with the words of threads that are not there. Their fronts are emptied like all
 * others, but for stacks that they were in the middle of; a new thread with the same address takes over what it finds.
 *
 * Progress: wait-free: at most two looks at each front.
 */
#include <limits.h>
#include <pthread.h>

#include "owner.h"
#include "segment.h"
#include "thread_end.h"

extern __typeof__(pthread_key_create) pthread_key_create __attribute__((weak));
extern __typeof__(pthread_key_delete) pthread_key_delete __attribute__((weak));
extern __typeof__(pthread_setspecific) pthread_setspecific __attribute__((weak));

__thread struct aoma_front *volatile aoma_thread_front __attribute__((tls_model("initial-exec")));
__thread volatile uintptr_t aoma_thread_drains[AOMA_THREAD_DRAINS] __attribute__((tls_model("initial-exec")));

struct aoma_ptr aoma_thread_owners[AOMA_NUMBERS];

/* After one that found none, which has looked at all of thousands; and for good, when the thread has ended. */
#define TRIES_BETWEEN 1024u
#define ENDED UINT_MAX
__thread volatile unsigned aoma_thread_skip __attribute__((tls_model("initial-exec")));

/* What a thread is called in the table. */
static uintptr_t myself(void)
{
    return (uintptr_t)&aoma_thread_front;
}

static void take_claims_down(const struct aoma_front *front)
{
    for (unsigned i = 0; i < AOMA_FRONT_STACKS; i++)
        aoma_ptr_store_release(&aoma_thread_head(front)->claim[i], 0);
}

/* ---- what siglongjmp left behind ---- */

/*
 * Of this thread, and known to be over. Its fronts are as good as emptied: a stack was emptied before its blocks went.
 * By CAS, since a handler may come between that does the same, and somebody else detach the front then.
 */
static AOMA_NOINLINE void end_dead_drain(volatile uintptr_t *drain)
{
    for (unsigned number = 0; *drain && number < AOMA_NUMBERS && aoma_front_made(number); number++) {
        struct aoma_ptr *drainer = &aoma_thread_head(aoma_front_made(number))->drainer;

        if (aoma_ptr_load_relaxed(drainer) == (uintptr_t)drain)
            (void)aoma_ptr_cas_full(drainer, (uintptr_t)drain, 0);
    }
    aoma_compiler_barrier();
    *drain = 0;
}

/*
 * Claims and drains whose position lies in the frame of this function: nothing else is there any more. Of the claims
 * those from first on, up to end.
 */
static AOMA_NOINLINE void take_dead_ones_down(const struct aoma_front *front, unsigned first, unsigned end)
{
    volatile char frame[128];
    uintptr_t low = (uintptr_t)frame;

    AOMA_OPAQUE(low);
    frame[0] = 0;
    for (unsigned i = first; i < end; i++) {
        if (aoma_ptr_load_relaxed(&aoma_thread_head(front)->claim[i]) - low < sizeof frame)
            aoma_ptr_store_release(&aoma_thread_head(front)->claim[i], 0);
    }
    for (unsigned i = 0; i < AOMA_THREAD_DRAINS; i++) {
        if (aoma_thread_drains[i] - low < sizeof frame)
            end_dead_drain(&aoma_thread_drains[i]);
    }
}

/* A handler may come at any point, and begin and end the same one. */
uintptr_t aoma_thread_drain_begin(uintptr_t position)
{
    const struct aoma_front *front = aoma_thread_front;

    take_dead_ones_down(front, 0, front ? AOMA_FRONT_STACKS : 0);
    for (unsigned i = 0; i < AOMA_THREAD_DRAINS; i++) { /* all of them: a free one may come before */
        if (aoma_thread_drains[i] == position)
            end_dead_drain(&aoma_thread_drains[i]);
    }
    for (unsigned i = 0; i < AOMA_THREAD_DRAINS; i++) {
        volatile uintptr_t *drain = &aoma_thread_drains[i];

        if (*drain)
            continue;
        *drain = position; /* what a handler in between has detached, if it was left, is this call's now */
        aoma_compiler_barrier();
        return (uintptr_t)drain;
    }
    return 0;
}

/* ---- the thread's end ---- */

/* The first block of keys, <bits/local_lim.h>: PTHREAD_KEY_2NDLEVEL_SIZE. */
#define KEYS_WITHOUT_MALLOC 32u

#ifdef __GLIBC__
enum { KEYS_ARE_LOCK_FREE = 1 };
#else
enum { KEYS_ARE_LOCK_FREE = 0 };
#endif

static struct aoma_hint key_plus_one; /* 0 -> the key + 1, by CAS */

static AOMA_NOINLINE void give_up(unsigned number, uintptr_t by)
{
    struct aoma_front *front = aoma_front_made(number);

    take_claims_down(front);
    if (by && aoma_front_detach(number, front, by)) { /* else somebody else is emptying it */
        aoma_front_empty(front);
        aoma_front_attach(number, front);
    }
    aoma_ptr_store_release(&aoma_thread_owners[number], 0);
}

static void end_thread(void *value)
{
    (void)value;
    aoma_thread_skip = ENDED;
    aoma_thread_front = NULL;
    for (unsigned i = 0; i < AOMA_THREAD_DRAINS; i++) /* calls that a handler has ended the thread in, too */
        end_dead_drain(&aoma_thread_drains[i]);
    uintptr_t by = aoma_fronts_drain_begin();
    for (unsigned number = 0; number < AOMA_NUMBERS && aoma_front_made(number); number++) {
        if (aoma_ptr_load_relaxed(&aoma_thread_owners[number]) == myself())
            give_up(number, by);
    }
    aoma_fronts_drain_end(by);
    aoma_segment_purge_others_if_due();
}

void aoma_thread_end_prepare(void)
{
    size_t none = 0;
    pthread_key_t key;

    if (!KEYS_ARE_LOCK_FREE || aoma_hint_get(&key_plus_one) || !pthread_key_create || !pthread_key_delete ||
        !pthread_setspecific || pthread_key_create(&key, end_thread) != 0)
        return;
    if (key >= KEYS_WITHOUT_MALLOC || !aoma_hint_cas(&key_plus_one, &none, (size_t)key + 1))
        (void)pthread_key_delete(key);
}

static void ask_to_be_told(const struct aoma_front *front)
{
    size_t key = aoma_hint_get(&key_plus_one);

    if (key)
        (void)pthread_setspecific((pthread_key_t)(key - 1), front);
}

/* ---- getting one ---- */

/* One look at each that there is. *free: the first that seemed to be nobody's; *end: how many there are. */
static unsigned find_own(unsigned *free, unsigned *end)
{
    unsigned number = 0;

    *free = AOMA_NUMBERS;
    for (; number < AOMA_NUMBERS && aoma_front_made(number); number++) {
        uintptr_t owner = aoma_ptr_load_relaxed(&aoma_thread_owners[number]);

        if (owner == myself())
            return number;
        if (!owner && *free == AOMA_NUMBERS)
            *free = number;
    }
    *end = number;
    return AOMA_NUMBERS;
}

static bool take(unsigned number)
{
    return !aoma_ptr_load_relaxed(&aoma_thread_owners[number]) &&
           aoma_ptr_cas_full(&aoma_thread_owners[number], 0, myself());
}

static unsigned take_free(unsigned from)
{
    for (unsigned number = from; number < AOMA_NUMBERS && aoma_front_made(number); number++) {
        if (aoma_front_attached(number) && take(number))
            return number;
    }
    return AOMA_NUMBERS;
}

/* There are no gaps: the first that there is not is made. */
static AOMA_NOINLINE unsigned make_one(unsigned from)
{
    for (unsigned number = from; number < AOMA_NUMBERS; number++) {
        if (aoma_front_made(number))
            continue;
        if (!aoma_front_make(number) && !aoma_front_made(number))
            break; /* no memory */
        if (take(number))
            return number;
    }
    return AOMA_NUMBERS;
}

/* The number is this thread's. A handler may have been here since it was found. */
static void settle(unsigned number)
{
    struct aoma_front *front = aoma_front_made(number);

    if (aoma_thread_front) {
        if (aoma_thread_front != front)
            aoma_ptr_store_release(&aoma_thread_owners[number], 0);
        return;
    }
    take_claims_down(front);
    aoma_hint_set(&aoma_thread_head(front)->number, number);
    ask_to_be_told(front); /* before it is used: a handler may leave in between and not come back */
    aoma_thread_front = front;
}

static AOMA_NOINLINE bool get_one(void)
{
    unsigned free, end;
    unsigned number = find_own(&free, &end);

    if (number == AOMA_NUMBERS)
        number = take_free(free);
    if (number == AOMA_NUMBERS)
        number = make_one(end);
    if (number == AOMA_NUMBERS) {
        aoma_thread_skip = TRIES_BETWEEN;
        return false;
    }
    settle(number);
    return true;
}

static bool has_drains(void)
{
    uintptr_t any = 0;

    for (unsigned i = 0; i < AOMA_THREAD_DRAINS; i++)
        any |= aoma_thread_drains[i];
    return any;
}

bool aoma_front_require(unsigned stack)
{
    const struct aoma_front *front = aoma_thread_front;

    if (aoma_likely(front != NULL)) {
        if (aoma_unlikely(aoma_front_is_busy(stack) || has_drains()))
            take_dead_ones_down(front, stack, stack + 1);
        return true;
    }
    unsigned left = aoma_thread_skip; /* once: a handler may count as well */
    if (aoma_likely(left == 0))
        return get_one();
    if (left != ENDED)
        aoma_thread_skip = left - 1;
    return false;
}
