/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * The only user of libatomic_ops. Names show the order: relaxed, acquire, release, full.
 *
 *   struct aoma_word        64 bits on every host: AO_t where that has 64 bits, the double-width operations elsewhere
 *   struct aoma_ptr         a pointer, perhaps with tag bits
 *   struct aoma_hint        a number of a pointer's size, of which any value written will do
 *   struct aoma_hint32      the same, of 32 bits
 *   struct aoma_counter     a count that many threads add to
 *
 * Compare-and-swap updates *expected when it fails. The read-modify-writes made of a CAS loop are lock-free, not
 * wait-free: a failed round means that another thread's round succeeded.
 */
#ifndef AOMA_ATOMICS_H
#define AOMA_ATOMICS_H

#include <stdbool.h>
#include <stdint.h>

/* libatomic_ops checks the alignment of double words with assert(), which would bring stdio in. */
#ifndef NDEBUG
#define NDEBUG
#endif
#include <atomic_ops.h>

#include "compiler.h"

#if defined(AO_USE_PTHREAD_DEFS) || defined(AO_REQUIRE_CAS_EMULATION) || defined(AO_USE_NO_SIGNALS)
#error "libatomic_ops would emulate compare-and-swap with a lock"
#endif

#ifndef AO_HAVE_compare_and_swap_full
#error "libatomic_ops has no lock-free compare-and-swap for this host"
#endif

/*
 * The counting build (meson option count_rmw) is told of each read-modify-write of a word in memory, right before it is
 * tried, and of each store. It is never the library that is installed or tested: there both are nothing at all.
 */
#ifdef AOMA_COUNT_RMW
void aoma_rmw_hook(const volatile void *word);
void aoma_store_hook(const volatile void *word);
#else
AOMA_INLINE void aoma_rmw_hook(const volatile void *word)
{
    (void)word;
}

AOMA_INLINE void aoma_store_hook(const volatile void *word)
{
    (void)word;
}
#endif

#if UINTPTR_MAX > 0xffffffffu

struct aoma_word {
    volatile AO_t bits;
};

AOMA_INLINE uint64_t aoma_load_relaxed(const struct aoma_word *word)
{
    return AO_load(&word->bits);
}

AOMA_INLINE uint64_t aoma_load_acquire(const struct aoma_word *word)
{
    return AO_load_acquire(&word->bits);
}

/* Only where no other thread may write the word, or where a lost race does no harm (said at the call). */
AOMA_INLINE void aoma_store_relaxed(struct aoma_word *word, uint64_t value)
{
    aoma_store_hook(word);
    AO_store(&word->bits, value);
}

AOMA_INLINE void aoma_store_release(struct aoma_word *word, uint64_t value)
{
    aoma_store_hook(word);
    AO_store_release(&word->bits, value);
}

#define AOMA_DEFINE_CAS(order)                                                                                         \
    AOMA_INLINE bool aoma_cas_##order(struct aoma_word *word, uint64_t *expected, uint64_t desired)                    \
    {                                                                                                                  \
        aoma_rmw_hook(word);                                                                                           \
        uint64_t seen = AO_fetch_compare_and_swap_##order(&word->bits, *expected, desired);                            \
        bool done = seen == *expected;                                                                                 \
                                                                                                                       \
        *expected = seen;                                                                                              \
        return done;                                                                                                   \
    }

AOMA_DEFINE_CAS(acquire)
AOMA_DEFINE_CAS(release)
AOMA_DEFINE_CAS(full)

#else /* 32-bit host */

#ifndef AO_HAVE_double_compare_and_swap_full
#error "libatomic_ops has no lock-free 64-bit compare-and-swap for this host"
#endif

struct aoma_word {
    volatile AO_double_t bits;
} __attribute__((aligned(8)));

AOMA_INLINE AO_double_t aoma_split(uint64_t value)
{
    AO_double_t pair;

    pair.AO_val1 = (AO_t)value;
    pair.AO_val2 = (AO_t)(value >> 32);
    return pair;
}

AOMA_INLINE uint64_t aoma_join(AO_double_t pair)
{
    return (uint64_t)pair.AO_val2 << 32 | pair.AO_val1;
}

/* Every order is full here: 32-bit hosts have no cheaper 64-bit operation worth a second set of functions. */
AOMA_INLINE bool aoma_cas_full(struct aoma_word *word, uint64_t *expected, uint64_t desired)
{
    aoma_rmw_hook(word);
    if (AO_double_compare_and_swap_full(&word->bits, aoma_split(*expected), aoma_split(desired)))
        return true;
#ifdef AO_HAVE_double_load_acquire
    *expected = aoma_join(AO_double_load_acquire(&word->bits));
#else
    /* A torn read only makes the next round fail: versions are in the words that need them. */
    *expected = aoma_join(word->bits);
#endif
    return false;
}

AOMA_INLINE bool aoma_cas_acquire(struct aoma_word *word, uint64_t *expected, uint64_t desired)
{
    return aoma_cas_full(word, expected, desired);
}

AOMA_INLINE bool aoma_cas_release(struct aoma_word *word, uint64_t *expected, uint64_t desired)
{
    return aoma_cas_full(word, expected, desired);
}

AOMA_INLINE uint64_t aoma_load_acquire(const struct aoma_word *word)
{
#ifdef AO_HAVE_double_load_acquire
    return aoma_join(AO_double_load_acquire(&word->bits));
#else
    /* A CAS that stores what it finds is an atomic read; a failed one says that the guess was torn or stale. */
    struct aoma_word *writable = (struct aoma_word *)(uintptr_t)word;
    uint64_t value = aoma_join(word->bits);

    while (!aoma_cas_full(writable, &value, value))
        ;
    return value;
#endif
}

AOMA_INLINE uint64_t aoma_load_relaxed(const struct aoma_word *word)
{
    return aoma_load_acquire(word);
}

AOMA_INLINE void aoma_store_release(struct aoma_word *word, uint64_t value)
{
    uint64_t seen = aoma_load_acquire(word);

    while (!aoma_cas_full(word, &seen, value))
        ;
}

AOMA_INLINE void aoma_store_relaxed(struct aoma_word *word, uint64_t value)
{
    aoma_store_release(word, value);
}

#endif

AOMA_INLINE void aoma_fence_full(void)
{
    AO_nop_full();
}

/* For handlers of the same thread: what comes before is done before. */
AOMA_INLINE void aoma_compiler_barrier(void)
{
    AO_compiler_barrier();
}

/*
 * Between a full read-modify-write of one word and a load of another, where the other side does the same with the words
 * exchanged and one of both must see the other's change. Elsewhere than on x86 libatomic_ops' full operations order
 * everything but this.
 */
AOMA_INLINE void aoma_fence_after_rmw(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __asm__ volatile("" : : : "memory");
#else
    AO_nop_full();
#endif
}

/* Each returns the value before. */
AOMA_INLINE uint64_t aoma_fetch_or_full(struct aoma_word *word, uint64_t bits)
{
    uint64_t old = aoma_load_relaxed(word);

    while (!aoma_cas_full(word, &old, old | bits))
        ;
    return old;
}

AOMA_INLINE uint64_t aoma_fetch_clear_full(struct aoma_word *word, uint64_t bits)
{
    uint64_t old = aoma_load_relaxed(word);

    while (!aoma_cas_full(word, &old, old & ~bits))
        ;
    return old;
}

/* Wait-free where the host has fetch-and-add. */
AOMA_INLINE uint64_t aoma_fetch_add_full(struct aoma_word *word, uint64_t value)
{
#if UINTPTR_MAX > 0xffffffffu
    aoma_rmw_hook(word);
    return AO_fetch_and_add_full(&word->bits, value);
#else
    uint64_t old = aoma_load_relaxed(word);

    while (!aoma_cas_full(word, &old, old + value))
        ;
    return old;
#endif
}

struct aoma_ptr {
    volatile AO_t bits;
};

AOMA_INLINE uintptr_t aoma_ptr_load_acquire(const struct aoma_ptr *ptr)
{
    return AO_load_acquire(&ptr->bits);
}

/* A hint that is compared only. */
AOMA_INLINE uintptr_t aoma_ptr_load_relaxed(const struct aoma_ptr *ptr)
{
    return AO_load(&ptr->bits);
}

AOMA_INLINE void aoma_ptr_store_relaxed(struct aoma_ptr *ptr, uintptr_t value)
{
    aoma_store_hook(ptr);
    AO_store(&ptr->bits, value);
}

AOMA_INLINE void aoma_ptr_store_release(struct aoma_ptr *ptr, uintptr_t value)
{
    aoma_store_hook(ptr);
    AO_store_release(&ptr->bits, value);
}

AOMA_INLINE bool aoma_ptr_cas_full(struct aoma_ptr *ptr, uintptr_t expected, uintptr_t desired)
{
    aoma_rmw_hook(ptr);
    return AO_compare_and_swap_full(&ptr->bits, expected, desired);
}

/*
 * A number of a pointer's size that several threads may write: a hint
 * for which any of the values written will do, or one changed by CAS.
 */
struct aoma_hint {
    volatile AO_t bits;
};

AOMA_INLINE size_t aoma_hint_get(const struct aoma_hint *hint)
{
    return AO_load(&hint->bits);
}

AOMA_INLINE void aoma_hint_set(struct aoma_hint *hint, size_t value)
{
    aoma_store_hook(hint);
    AO_store(&hint->bits, value);
}

AOMA_INLINE bool aoma_hint_cas(struct aoma_hint *hint, size_t *expected, size_t desired)
{
    aoma_rmw_hook(hint);
    size_t seen = AO_fetch_compare_and_swap_full(&hint->bits, *expected, desired);
    bool done = seen == *expected;

    *expected = seen;
    return done;
}

struct aoma_hint32 {
    volatile unsigned bits;
};

AOMA_INLINE uint32_t aoma_hint32_get(const struct aoma_hint32 *hint)
{
    return AO_int_load(&hint->bits);
}

AOMA_INLINE void aoma_hint32_set(struct aoma_hint32 *hint, uint32_t value)
{
    aoma_store_hook(hint);
    AO_int_store(&hint->bits, value);
}

/* A count that many threads add to; wait-free where the host has fetch-and-add. */
struct aoma_counter {
    volatile AO_t bits;
};

AOMA_INLINE size_t aoma_counter_get(const struct aoma_counter *counter)
{
    return AO_load(&counter->bits);
}

/* Of what cannot be below zero: a subtraction may be seen before its addition. */
AOMA_INLINE size_t aoma_counter_sum(const struct aoma_counter *counter)
{
    size_t sum = aoma_counter_get(counter);

    return sum <= PTRDIFF_MAX ? sum : 0;
}

AOMA_INLINE bool aoma_counter_cas(struct aoma_counter *counter, size_t *expected, size_t desired)
{
    aoma_rmw_hook(counter);
    size_t seen = AO_fetch_compare_and_swap_full(&counter->bits, *expected, desired);
    bool done = seen == *expected;

    *expected = seen;
    return done;
}

AOMA_INLINE void aoma_counter_add(struct aoma_counter *counter, size_t value)
{
    aoma_rmw_hook(counter);
    (void)AO_fetch_and_add_full(&counter->bits, value);
}

#endif /* AOMA_ATOMICS_H */
