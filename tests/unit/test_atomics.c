/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* What each operation does to the word, and that no change of another thread in its middle is lost. */

#include "unit.h"
#include "interleave.h"

/* Different in each byte, so that a half that is cut off shows. */
#define ONE_VALUE UINT64_C(0x0123456789abcdef)
#define OTHER_VALUE UINT64_C(0xfedcba9876543210)

static struct aoma_word word;

TEST(words_hold_64_bits)
{
    aoma_store_relaxed(&word, ONE_VALUE);
    assert_true(aoma_load_relaxed(&word) == ONE_VALUE);
    assert_true(aoma_load_acquire(&word) == ONE_VALUE);
    aoma_store_release(&word, OTHER_VALUE);
    assert_true(aoma_load_relaxed(&word) == OTHER_VALUE);
    assert_true(aoma_load_acquire(&word) == OTHER_VALUE);
}

static void check_cas(bool (*cas)(struct aoma_word *, uint64_t *, uint64_t))
{
    uint64_t expected = ONE_VALUE ^ UINT64_C(1) << 63;

    aoma_store_relaxed(&word, ONE_VALUE);
    assert_false(cas(&word, &expected, OTHER_VALUE));
    assert_true(expected == ONE_VALUE); /* what was seen, for the next try */
    assert_true(aoma_load_relaxed(&word) == ONE_VALUE);
    assert_true(cas(&word, &expected, OTHER_VALUE));
    assert_true(expected == ONE_VALUE);
    assert_true(aoma_load_relaxed(&word) == OTHER_VALUE);
}

TEST(cas_changes_what_is_expected_and_tells_what_was_seen)
{
    check_cas(aoma_cas_acquire);
    check_cas(aoma_cas_release);
    check_cas(aoma_cas_full);
}

TEST(fetches_return_the_value_before)
{
    aoma_store_relaxed(&word, ONE_VALUE);
    assert_true(aoma_fetch_or_full(&word, OTHER_VALUE) == ONE_VALUE);
    assert_true(aoma_fetch_clear_full(&word, OTHER_VALUE) == UINT64_MAX);
    assert_true(aoma_fetch_add_full(&word, OTHER_VALUE) == ONE_VALUE);
    assert_true(aoma_fetch_add_full(&word, 2) == UINT64_MAX);
    assert_true(aoma_load_relaxed(&word) == 1);
}

TEST(pointers_are_swapped_whole)
{
    struct aoma_ptr ptr = {0};

    assert_int_equal(aoma_ptr_load_acquire(&ptr), 0);
    assert_false(aoma_ptr_cas_full(&ptr, 1, UINTPTR_MAX));
    assert_int_equal(aoma_ptr_load_acquire(&ptr), 0);
    assert_true(aoma_ptr_cas_full(&ptr, 0, UINTPTR_MAX));
    assert_true(aoma_ptr_load_acquire(&ptr) == UINTPTR_MAX);
    aoma_ptr_store_relaxed(&ptr, UINTPTR_MAX / 2);
    assert_true(aoma_ptr_load_relaxed(&ptr) == UINTPTR_MAX / 2);
}

TEST(hints_and_counters_hold_a_size)
{
    struct aoma_hint hint = {0};
    struct aoma_counter counter = {0};
    size_t expected = 1;

    aoma_hint_set(&hint, SIZE_MAX);
    assert_true(aoma_hint_get(&hint) == SIZE_MAX);
    assert_false(aoma_hint_cas(&hint, &expected, 5));
    assert_true(expected == SIZE_MAX && aoma_hint_get(&hint) == SIZE_MAX);
    assert_true(aoma_hint_cas(&hint, &expected, 5));
    assert_int_equal(aoma_hint_get(&hint), 5);

    aoma_counter_add(&counter, 7);
    aoma_counter_add(&counter, (size_t)0 - 3);
    assert_int_equal(aoma_counter_get(&counter), 4);
    assert_false(aoma_counter_cas(&counter, &expected, 9));
    assert_int_equal(expected, 4);
    assert_true(aoma_counter_cas(&counter, &expected, 9));
    assert_int_equal(aoma_counter_get(&counter), 9);
}

/* ---- in the middle of each other ---- */

static struct aoma_counter counter;
static uint64_t values_before[3];

static void change(void)
{
    values_before[0] = aoma_fetch_or_full(&word, 0x0f);
    values_before[1] = aoma_fetch_clear_full(&word, 0xf0);
    values_before[2] = aoma_fetch_add_full(&word, 0x100);
    aoma_counter_add(&counter, 5);
}

static void change_otherwise(void)
{
    aoma_fetch_or_full(&word, UINT64_C(1) << 40);
    aoma_fetch_clear_full(&word, UINT64_C(1) << 41);
    aoma_fetch_add_full(&word, UINT64_C(1) << 44);
    aoma_counter_add(&counter, 7);
}

static void check_both_changes(void)
{
    CHECK(aoma_load_relaxed(&word) == (UINT64_C(0x1100) << 32 | 0x010f));
    CHECK((values_before[0] & 0xffff) == 0xf0);
    CHECK((values_before[1] & 0xffff) == 0xff);
    CHECK((values_before[2] & 0xffff) == 0x0f);
    CHECK(aoma_counter_get(&counter) == 12);
}

TEST(no_change_of_another_thread_is_lost)
{
    aoma_store_relaxed(&word, UINT64_C(1) << 41 | 0xf0);
    interleave(change, change_otherwise, check_both_changes);
}
