/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

#include "unit.h"
#include "faulty_os.h"
#include "interleave.h"
#include "rng.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define WINDOW AOMA_SEGMENT_BYTES

/* As many ranges are kept, at most, and so many puts are a period. */
enum { SLOTS = 64, PERIOD_PUTS = 128 };

/* An area of windows, all mapped by the source; where they are by number. */
static uintptr_t area;

static char *window(size_t number)
{
    return (char *)area + number * WINDOW;
}

static void map_windows(size_t count)
{
    aoma_source_enable_mmap();
    area = (uintptr_t)aoma_source_map(count * WINDOW, WINDOW);
    CHECK(area);
    aoma_kept_count_use(aoma_source_mapped_bytes(), 0);
}

static void put(size_t number, size_t count)
{
    aoma_kept_put(window(number), count * WINDOW);
}

/* The number of the first of as many windows, which must be exactly as many. */
static size_t take(size_t count)
{
    size_t bytes = count * WINDOW;
    char *mem = aoma_kept_take(&bytes, WINDOW);

    CHECK(mem && bytes == count * WINDOW);
    return (size_t)(mem - (char *)area) / WINDOW;
}

static bool can_take(size_t count, size_t align)
{
    size_t bytes = count * WINDOW;

    return aoma_kept_take(&bytes, align) != NULL;
}

/* ---- taking and putting ---- */

TEST(what_was_put_is_taken_without_a_system_call)
{
    map_windows(8);
    unsigned calls = faulty_os_calls();

    put(3, 2);
    assert_int_equal(aoma_kept_bytes(), 2 * WINDOW);
    assert_false(can_take(3, WINDOW));
    assert_int_equal(take(2), 3);
    assert_int_equal(aoma_kept_bytes(), 0);
    assert_false(can_take(1, WINDOW));
    assert_int_equal(faulty_os_calls(), calls);
    assert_int_equal(aoma_source_mapped_bytes(), 8 * WINDOW);
}

TEST(the_shortest_range_that_suits_is_taken)
{
    map_windows(32);
    put(0, 8);
    put(10, 3);
    put(15, 5);
    assert_int_equal(take(3), 10);
    assert_int_equal(take(4), 15);
    assert_int_equal(take(8), 0);
    assert_int_equal(take(1), 19);
    assert_int_equal(aoma_kept_bytes(), 0);
}

TEST(the_head_is_taken_and_the_rest_stays)
{
    map_windows(8);
    put(0, 8);
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(take(1), i);
        assert_int_equal(aoma_kept_bytes(), (7 - i) * WINDOW);
    }
}

TEST(neighbours_are_joined_in_whichever_order_they_come)
{
    static const unsigned orders[][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    static const size_t first[] = {1, 3, 4}, count[] = {2, 1, 3};

    map_windows(8);
    for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++) {
        for (size_t k = 0; k < 3; k++)
            put(first[orders[i][k]], count[orders[i][k]]);
        assert_int_equal(take(6), 1);
        assert_int_equal(aoma_kept_bytes(), 0);
    }
}

TEST(what_is_apart_stays_apart)
{
    map_windows(8);
    put(0, 2);
    put(3, 2);
    put(6, 2);
    assert_false(can_take(3, WINDOW));
    assert_int_equal(aoma_kept_bytes(), 6 * WINDOW);
}

TEST(a_rest_of_less_than_a_window_goes_along)
{
    size_t tail = 3 * AOMA_PAGE_BYTES, bytes = 2 * WINDOW;

    map_windows(4);
    aoma_kept_put(window(0), 3 * WINDOW + tail);
    assert_ptr_equal(aoma_kept_take(&bytes, WINDOW), window(0));
    assert_int_equal(bytes, 2 * WINDOW); /* the rest is a window and more */
    bytes = WINDOW;
    assert_ptr_equal(aoma_kept_take(&bytes, WINDOW), window(2));
    assert_int_equal(bytes, WINDOW + tail);
    assert_int_equal(aoma_kept_bytes(), 0);
}

TEST(a_range_must_be_aligned_as_asked)
{
    map_windows(16);
    size_t odd = (area / WINDOW) % 2 ? 0 : 1;

    put(odd, 2);
    assert_false(can_take(1, 2 * WINDOW));
    put(odd + 5, 2);
    assert_true(can_take(1, 2 * WINDOW));
    assert_int_equal(aoma_kept_bytes(), 3 * WINDOW);
    assert_int_equal(take(2), odd);
}

TEST(the_longest_is_taken_whole_if_it_is_of_the_length_asked)
{
    void *mem = NULL;

    map_windows(16);
    assert_int_equal(aoma_kept_take_longest(1, SIZE_MAX, &mem), 0);
    put(0, 2);
    put(4, 5);
    put(12, 3);
    assert_int_equal(aoma_kept_take_longest(6 * WINDOW, SIZE_MAX, &mem), 0);
    assert_int_equal(aoma_kept_take_longest(WINDOW, 5 * WINDOW, &mem), 0);
    assert_int_equal(aoma_kept_take_longest(5 * WINDOW, 6 * WINDOW, &mem), 5 * WINDOW);
    assert_ptr_equal(mem, window(4));
    assert_int_equal(aoma_kept_take_longest(WINDOW, 5 * WINDOW, &mem), 3 * WINDOW);
    assert_ptr_equal(mem, window(12));
    assert_int_equal(aoma_kept_bytes(), 2 * WINDOW);
}

/* ---- what goes back ---- */

TEST(what_is_too_long_goes_back_at_once)
{
    size_t longest = AOMA_KEPT_LONGEST_BYTES / WINDOW;

    map_windows(2 * longest + 2);
    put(0, longest);
    assert_int_equal(aoma_kept_bytes(), AOMA_KEPT_LONGEST_BYTES);
    put(longest, longest + 1);
    assert_int_equal(aoma_kept_bytes(), AOMA_KEPT_LONGEST_BYTES);
    assert_int_equal(aoma_source_mapped_bytes(), AOMA_KEPT_LONGEST_BYTES + WINDOW);
}

TEST(what_finds_no_slot_goes_back_at_once)
{
    map_windows(2 * SLOTS + 3);
    for (size_t i = 0; i <= SLOTS; i++)
        put(2 * i, 1);
    assert_int_equal(aoma_kept_bytes(), SLOTS * WINDOW);
    assert_int_equal(aoma_source_mapped_bytes(), (2 * SLOTS + 2) * WINDOW);
    put(1, 1); /* closes a gap: needs none */
    assert_int_equal(aoma_kept_bytes(), (SLOTS + 1) * WINDOW);
    assert_int_equal(take(3), 0);
}

TEST(the_longest_goes_back_first_and_its_tail)
{
    map_windows(16);
    put(0, 6);
    put(8, 3);
    assert_int_equal(aoma_kept_release(0), 0);
    assert_int_equal(aoma_kept_release(1), WINDOW);
    assert_int_equal(aoma_kept_bytes(), 8 * WINDOW);
    assert_int_equal(aoma_source_mapped_bytes(), 15 * WINDOW);
    assert_int_equal(take(5), 0);
    put(0, 5);
    assert_int_equal(aoma_kept_release(6 * WINDOW), 6 * WINDOW); /* five and one of the three */
    assert_int_equal(take(2), 8);
    assert_int_equal(aoma_kept_release(SIZE_MAX), 0);
}

TEST(everything_is_released_when_asked_for)
{
    map_windows((size_t)2 * SLOTS);
    for (size_t i = 0; i < SLOTS; i++)
        put(2 * i, 1);
    assert_int_equal(aoma_kept_release(SIZE_MAX), SLOTS * WINDOW);
    assert_int_equal(aoma_kept_bytes(), 0);
    assert_int_equal(aoma_source_mapped_bytes(), SLOTS * WINDOW);
}

/* in use, kept, asked to give way: what is left */
static size_t left_after_giving_way(size_t used, size_t kept, size_t asked)
{
    (void)aoma_kept_release(SIZE_MAX);
    map_windows(kept + 1);
    aoma_kept_count_use(used * WINDOW, aoma_kept_use_bytes());
    put(0, kept);
    aoma_kept_give_way(asked * WINDOW);
    return aoma_kept_bytes() / WINDOW;
}

TEST(half_of_what_is_in_use_does_not_give_way)
{
    assert_int_equal(left_after_giving_way(20, 10, 5), 10);
    assert_int_equal(left_after_giving_way(20, 13, 5), 10);
    assert_int_equal(left_after_giving_way(20, 18, 5), 13);
    assert_int_equal(left_after_giving_way(0, 18, 5), 13);
    assert_int_equal(left_after_giving_way(0, 4, 5), 0);
    assert_int_equal(left_after_giving_way(0, 4, 0), 4);
}

TEST(excess_is_what_is_kept_beyond_what_is_in_use)
{
    map_windows(8);
    aoma_kept_count_use(5 * WINDOW, aoma_kept_use_bytes());
    put(0, 4);
    assert_int_equal(aoma_kept_excess(), 0);
    aoma_kept_count_use(0, 2 * WINDOW);
    assert_int_equal(aoma_kept_excess(), WINDOW);
    aoma_kept_count_use(7, 7);
    assert_int_equal(aoma_kept_use_bytes(), 3 * WINDOW);
    aoma_kept_count_use(0, 4 * WINDOW); /* a subtraction seen before its addition */
    assert_int_equal(aoma_kept_use_bytes(), 0);
}

static void use_for_a_period(size_t count)
{
    for (unsigned i = 0; i < PERIOD_PUTS; i++)
        put(take(count), count);
}

TEST(half_of_what_was_not_needed_for_a_period_goes_back)
{
    map_windows(16);
    put(0, 16);
    use_for_a_period(4); /* in its course a period ends that began with nothing */
    assert_int_equal(aoma_kept_bytes(), 16 * WINDOW);
    use_for_a_period(4); /* 12 were not */
    assert_int_equal(aoma_kept_bytes(), 10 * WINDOW);
    use_for_a_period(4);
    assert_int_equal(aoma_kept_bytes(), 7 * WINDOW);
    for (unsigned i = 0; i < 10; i++)
        use_for_a_period(4);
    assert_int_equal(aoma_kept_bytes(), 4 * WINDOW);
}

TEST(what_is_needed_once_a_period_stays)
{
    map_windows(16);
    put(0, 16);
    for (unsigned i = 0; i < 10; i++) {
        put(take(16), 16);
        for (unsigned k = 1; k < PERIOD_PUTS; k++)
            put(take(1), 1);
    }
    assert_int_equal(aoma_kept_bytes(), 16 * WINDOW);
}

/* ---- any sequence ---- */

enum { MODEL_WINDOWS = 200, IN_USE = 0, KEPT = 1, GONE = 2 };

static unsigned char model[MODEL_WINDOWS];

static void model_take(size_t bytes, void *mem)
{
    size_t first = (size_t)((char *)mem - (char *)area) / WINDOW;

    for (size_t i = 0; i < bytes / WINDOW; i++) {
        CHECK(model[first + i] == KEPT);
        model[first + i] = IN_USE;
        window(first + i)[i] = 1; /* it is mapped */
    }
}

static void model_put(struct rng *rng)
{
    size_t first = rng_below(rng, MODEL_WINDOWS), count = 0, most = 1 + rng_below(rng, 8);

    while (count < most && first + count < MODEL_WINDOWS && model[first + count] == IN_USE)
        model[first + count++] = KEPT;
    if (count)
        put(first, count);
}

static size_t model_count(int state)
{
    size_t count = 0;

    for (size_t i = 0; i < MODEL_WINDOWS; i++)
        count += model[i] == state;
    return count;
}

static void model_step(struct rng *rng)
{
    size_t bytes = (1 + rng_below(rng, 8)) * WINDOW;
    void *mem = NULL;

    switch (rng_below(rng, 8)) {
    case 0:
        bytes = aoma_kept_take_longest(1, bytes, &mem);
        break;
    case 1:
    case 2:
    case 3:
        mem = aoma_kept_take(&bytes, WINDOW);
        break;
    default:
        model_put(rng);
    }
    if (mem)
        model_take(bytes, mem);
}

TEST(any_sequence_loses_nothing_and_gives_nothing_twice)
{
    struct rng rng = rng_stream(test_seed(), 3);

    map_windows(MODEL_WINDOWS);
    for (unsigned step = 0; step < 20000 && model_count(IN_USE) + model_count(KEPT) > 0; step++) {
        model_step(&rng);
        /* What went back at the end of a period, or for want of a slot, the model does not know: it counts. */
        CHECK(aoma_kept_bytes() <= model_count(KEPT) * WINDOW);
        CHECK(aoma_source_mapped_bytes() == model_count(IN_USE) * WINDOW + aoma_kept_bytes());
    }
    (void)aoma_kept_release(SIZE_MAX);
    assert_int_equal(aoma_kept_bytes(), 0);
}

/* ---- two threads ---- */

static void *taken[2];
static size_t taken_bytes[2];

static void take_as(unsigned who, size_t windows)
{
    taken_bytes[who] = windows * WINDOW;
    taken[who] = aoma_kept_take(&taken_bytes[who], WINDOW);
    if (!taken[who])
        taken_bytes[who] = 0;
}

static void take_two(void)
{
    take_as(0, 2);
}

static void take_two_more(void)
{
    take_as(1, 2);
}

static void take_one_more(void)
{
    take_as(1, 1);
}

static void take_the_longest(void)
{
    taken_bytes[1] = aoma_kept_take_longest(1, SIZE_MAX, &taken[1]);
}

static void release_one(void)
{
    (void)aoma_kept_release(WINDOW);
}

static void release_all(void)
{
    (void)aoma_kept_release(SIZE_MAX);
}

static void put_left(void)
{
    put(0, 2);
}

static void put_middle(void)
{
    put(2, 2);
}

static void put_right(void)
{
    put(4, 2);
}

/* Each byte is kept, or in one's hands, or gone. */
static void check_shared_out(void)
{
    const char *first = taken[0], *second = taken[1];

    CHECK(!taken_bytes[0] || !taken_bytes[1] || first + taken_bytes[0] <= second || second + taken_bytes[1] <= first);
    size_t rest = 0, bytes;
    void *mem;
    while ((bytes = aoma_kept_take_longest(1, SIZE_MAX, &mem)) != 0) {
        memset(mem, 1, bytes);
        rest += bytes;
    }
    for (unsigned i = 0; i < 2; i++) {
        if (taken_bytes[i])
            memset(taken[i], 2, taken_bytes[i]);
    }
    CHECK(aoma_kept_bytes() == 0);
    CHECK(aoma_source_mapped_bytes() == taken_bytes[0] + taken_bytes[1] + rest);
}

static void check_each_has_two(void)
{
    CHECK(taken_bytes[0] == 2 * WINDOW && taken_bytes[1] == 2 * WINDOW);
    check_shared_out();
}

static void check_one_has_two(void)
{
    CHECK(taken_bytes[0] + taken_bytes[1] == 2 * WINDOW);
    check_shared_out();
}

TEST(one_range_is_given_to_one_of_two)
{
    map_windows(2);
    put(0, 2);
    interleave_sparsely(4, take_two, take_two_more, check_one_has_two);
}

TEST(two_take_from_one_range)
{
    map_windows(4);
    put(0, 4);
    interleave_sparsely(4, take_two, take_two_more, check_each_has_two);
}

TEST(taking_while_the_head_is_taken)
{
    map_windows(3);
    put(0, 3);
    interleave_sparsely(4, take_two, take_one_more, check_shared_out);
}

TEST(taking_while_the_longest_is_taken)
{
    map_windows(4);
    put(0, 4);
    interleave_sparsely(4, take_two, take_the_longest, check_shared_out);
}

TEST(taking_while_some_is_released)
{
    map_windows(3);
    put(0, 3);
    interleave_sparsely(4, take_two, release_one, check_shared_out);
}

TEST(releasing_while_some_is_taken)
{
    map_windows(3);
    put(0, 3);
    interleave_sparsely(16, release_all, take_one_more, check_shared_out);
}

/* Whatever is joined or not, nothing is lost; what is put last joins what was put before. */
static void check_all_six_kept(void)
{
    CHECK(aoma_kept_bytes() == 6 * WINDOW);
    check_shared_out();
}

TEST(putting_what_lies_between_while_the_left_is_put)
{
    map_windows(6);
    put(4, 2);
    interleave_sparsely(8, put_middle, put_left, check_all_six_kept);
}

TEST(putting_what_lies_between_while_the_right_is_put)
{
    map_windows(6);
    put(0, 2);
    interleave_sparsely(8, put_middle, put_right, check_all_six_kept);
}

TEST(putting_beside_what_is_just_taken)
{
    map_windows(6);
    put(0, 2);
    put(4, 2);
    interleave_sparsely(8, put_middle, take_two_more, check_shared_out);
}

TEST(putting_beside_what_is_just_released)
{
    map_windows(6);
    put(0, 2);
    put(4, 2);
    interleave_sparsely(8, put_middle, release_one, check_shared_out);
}

/* ---- many threads ---- */

enum { THREADS = 4, THREAD_WINDOWS = 48 };
#define ALL_WINDOWS ((size_t)THREADS * THREAD_WINDOWS)

/* Who has a window: 0 is nobody. */
static _Atomic unsigned owners[ALL_WINDOWS];
static uint64_t deadline_ns;

static void own(size_t first, size_t count, unsigned before, unsigned after)
{
    for (size_t i = 0; i < count; i++) {
        unsigned seen = before;
        CHECK(atomic_compare_exchange_strong(&owners[first + i], &seen, after));
        *(volatile char *)window(first + i) = (char)after; /* TSan sees who is not ordered after the last owner */
    }
}

static void *exchange_ranges(void *argument)
{
    unsigned me = *(unsigned *)argument;
    struct rng rng = rng_stream(test_seed(), me);
    size_t have = 0, firsts[ALL_WINDOWS], counts[ALL_WINDOWS];

    while (!test_passed(deadline_ns)) {
        size_t bytes = (1 + rng_below(&rng, 6)) * WINDOW;
        char *mem = aoma_kept_take(&bytes, WINDOW);

        if (mem) {
            firsts[have] = (size_t)(mem - (char *)area) / WINDOW;
            counts[have] = bytes / WINDOW;
            own(firsts[have], counts[have], 0, me);
            have++;
        }
        if (have && (!mem || rng_below(&rng, 2))) {
            size_t at = rng_below(&rng, have--), part = 1 + rng_below(&rng, counts[at]);

            own(firsts[at], counts[at], me, 0);
            put(firsts[at], part); /* in one piece or two */
            if (part < counts[at])
                put(firsts[at] + part, counts[at] - part);
            firsts[at] = firsts[have];
            counts[at] = counts[have];
        }
    }
    for (size_t i = 0; i < have; i++) {
        own(firsts[i], counts[i], me, 0);
        put(firsts[i], counts[i]);
    }
    return NULL;
}

TEST(no_window_is_in_two_threads_hands)
{
    static unsigned numbers[THREADS];
    pthread_t threads[THREADS];

    map_windows(ALL_WINDOWS);
    put(0, AOMA_KEPT_LONGEST_BYTES / WINDOW);
    put(AOMA_KEPT_LONGEST_BYTES / WINDOW, AOMA_KEPT_LONGEST_BYTES / WINDOW);
    put(2 * AOMA_KEPT_LONGEST_BYTES / WINDOW, ALL_WINDOWS - 2 * AOMA_KEPT_LONGEST_BYTES / WINDOW);
    assert_int_equal(aoma_kept_bytes(), ALL_WINDOWS * WINDOW);
    deadline_ns = test_deadline_ns();
    for (unsigned i = 0; i < THREADS; i++) {
        numbers[i] = i + 1;
        CHECK(pthread_create(&threads[i], NULL, exchange_ranges, &numbers[i]) == 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    size_t kept = aoma_kept_bytes();
    assert_int_equal(aoma_source_mapped_bytes(), kept);
    assert_int_equal(aoma_kept_release(SIZE_MAX), kept);
    assert_int_equal(aoma_source_mapped_bytes(), 0);
}
