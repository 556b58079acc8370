/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* Calls that come upon a claim or a drainer: in handlers, after siglongjmp, when fronts are emptied, after a fork. */

#define _GNU_SOURCE
#include "fronts.h"

#include "canary.h"
#include "step.h"

#include <aomalloc.h>
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "census.h"
#include "owner.h"
#include "transfer.h"

enum { BYTES = 100, OTHER_BYTES = 300, CHILD_SECONDS_MAX = 60 };

static unsigned class_used(void)
{
    return aoma_class_of(BYTES);
}

static bool is_claimed(const struct aoma_front *front, unsigned class)
{
    return aoma_ptr_load_acquire(&aoma_thread_head(front)->claim[class]) != 0;
}

static unsigned claims_set(void)
{
    unsigned count = 0;

    for (unsigned class = 0; class < AOMA_FRONT_STACKS; class ++)
        count += is_claimed(aoma_thread_front, class);
    return count;
}

static unsigned cached(const struct aoma_front *front, size_t size)
{
    const struct aoma_front_stack *stack = &front->stack[aoma_class_of(size)];

    return (unsigned)(stack->top - stack->bottom);
}

/* The front has blocks of the class. */
static void fill(size_t size)
{
    void *blocks[8];

    for (unsigned i = 0; i < 8; i++)
        blocks[i] = AO_malloc(size);
    for (unsigned i = 0; i < 8; i++)
        AO_free(blocks[i]);
    CHECK(cached(aoma_thread_front, size) > 2);
}

static void require_steps(void)
{
    require_fronts();
    step_require();
    fill(BYTES);
}

static unsigned long steps, act_after;
static unsigned acted, found_claimed;

/* Whether the k-th step of the operation is this one. */
static bool is_due(void)
{
    if (++steps < act_after)
        return false;
    acted++;
    found_claimed += is_claimed(aoma_thread_front, class_used());
    return true;
}

static void arm(bool (*on_step)(void))
{
    steps = 0;
    acted = 0;
    step_with(on_step);
}

/* ---- handlers ---- */

static void *of_handler[2];

static bool allocate_two_free_one(void)
{
    if (!is_due())
        return true;
    for (unsigned i = 0; i < 2; i++) {
        of_handler[i] = AO_malloc(BYTES);
        CHECK(of_handler[i]);
        canary_write(of_handler[i], BYTES, 1000 + i);
    }
    CHECK(canary_take(of_handler[0]));
    AO_free(of_handler[0]);
    return false;
}

/* One block more than the handler found is out when it returns. */
static void assert_all_distinct(void *own)
{
    canary_write(own, BYTES, 1);
    for (unsigned i = 0; i < 3; i++) {
        void *block = AO_malloc(BYTES);
        canary_write(block, BYTES, i);
        CHECK(canary_take(block));
        AO_free(block);
    }
    if (acted) {
        CHECK(canary_take(of_handler[1]));
        AO_free(of_handler[1]);
    }
    CHECK(canary_take(own));
}

TEST(handler_at_every_instruction_of_pop_and_push)
{
    require_steps();
    for (act_after = 1, acted = 1; acted; act_after++) {
        arm(allocate_two_free_one);
        step_on();
        void *block = AO_malloc(BYTES);
        step_off();
        step_with(NULL);
        assert_all_distinct(block);
        AO_free(block);
        CHECK(claims_set() == 0);
    }
    CHECK(found_claimed >= 4);
    for (act_after = 1, acted = 1, found_claimed = 0; acted; act_after++) {
        void *block = AO_malloc(BYTES);
        canary_write(block, BYTES, 5);
        CHECK(canary_take(block));
        arm(allocate_two_free_one);
        step_on();
        AO_free(block);
        step_off();
        step_with(NULL);
        block = AO_malloc(BYTES);
        assert_all_distinct(block);
        AO_free(block);
        CHECK(claims_set() == 0);
    }
    CHECK(found_claimed >= 4);
    assert_accounted(0);
}

/* ---- siglongjmp ---- */

static sigjmp_buf back;

static bool leave(void)
{
    if (is_due()) {
        step_with(NULL);
        siglongjmp(back, 1);
    }
    return true;
}

/* malloc and free are called from here alone, so always with the stack at the same place. */
static AOMA_NOINLINE void allocate_or_free(void **block)
{
    if (*block) {
        AO_free(*block);
        *block = NULL;
    } else {
        *block = AO_malloc(BYTES);
    }
}

/* Empties the front, and leaves a batch's worth free where the next one comes from: a call that has to make a run, or
 * to move one, and is left, loses that. */
static void drain_with_a_batch_free(void)
{
    enum { SOME = 2 * AOMA_FRONT_BATCH_MAX };
    void *some[SOME];

    for (unsigned i = 0; i < SOME; i++)
        CHECK((some[i] = AO_malloc(BYTES)));
    for (unsigned i = 0; i < SOME; i++)
        AO_free(some[i]);
    aoma_fronts_drain();
}

/* Leaves one call of malloc and one of free at the k-th instruction, for each k. */
static unsigned leave_everywhere(bool drained)
{
    static void *block;
    static volatile unsigned left, call;

    for (call = 0; call < 2; call++) {
        acted = 1;
        for (act_after = 1; acted; act_after++) {
            block = NULL;
            if (drained)
                drain_with_a_batch_free();
            if (call == 1)
                block = AO_malloc(BYTES);
            arm(leave);
            if (sigsetjmp(back, 1) == 0) {
                step_on();
                allocate_or_free(&block);
                step_off();
                step_with(NULL);
            } else {
                left++;
                block = NULL; /* in nobody's hands, perhaps */
            }
            if (block)
                AO_free(block);
            block = NULL;
            for (unsigned i = 0; i < 4; i++)
                allocate_or_free(&block);
        }
    }
    return left;
}

TEST(left_by_siglongjmp_at_every_instruction)
{
    require_steps();
    unsigned left = leave_everywhere(false);
    CHECK(found_claimed >= 4);
    CHECK(claims_set() == 0);                 /* found again */
    CHECK(left > 50 && blocks_out() <= left); /* one block each at most */
    size_t lost = blocks_out();
    for (unsigned i = 0; i < 1000; i++)
        AO_free(AO_malloc(BYTES));
    CHECK(cached(aoma_thread_front, BYTES) > 0);
    assert_accounted(lost);
}

/* Calls that were left may have been in the middle of taking a run out of its header: not all is as the checks want. */
static size_t blocks_out_or_lost(void)
{
    struct aoma_census census;

    aoma_census_count(&census);
    return census.blocks - census.blocks_free - aoma_fronts_count();
}

/* Through refills, too, where a batch and its place may be lost. */
TEST(left_by_siglongjmp_at_every_instruction_of_a_refill)
{
    require_steps();
    unsigned left = leave_everywhere(true);
    size_t lost = blocks_out_or_lost();
    CHECK(lost <= left + (size_t)AOMA_TRANSFER_PLACES * AOMA_FRONT_BATCH_MAX + AOMA_FRONT_CAP(BYTES));
    for (unsigned i = 0; i < 1000; i++)
        AO_free(AO_malloc(BYTES));
    CHECK(blocks_out_or_lost() == lost);
}

/* Runs it with the stack lower by so many bytes. */
static AOMA_NOINLINE void lower(size_t bytes, void (*run)(void))
{
    volatile char *room = __builtin_alloca(bytes);

    *room = 1;
    run();
    *room = 2;
}

static void leave_malloc(void)
{
    if (sigsetjmp(back, 1) == 0) {
        step_on();
        AO_free(AO_malloc(BYTES));
        step_off();
    }
}

static void allocate(void)
{
    AO_free(AO_malloc(BYTES));
}

enum { STACK_STEP = 16, LEFT_AT = 4096 };

static void leave_claim(void)
{
    for (act_after = 1; claims_set() == 0; act_after++) {
        CHECK(act_after < 100);
        arm(leave);
        lower(LEFT_AT, leave_malloc);
        step_with(NULL);
    }
}

/*
 * Also from other places of the stack: from the few whose calls come by at the very position, and from those whose
 * frames cover it, of which there are more.
 */
TEST(claim_is_found_again_from_elsewhere_on_the_stack)
{
    unsigned found = 0;

    require_steps();
    for (size_t bytes = LEFT_AT - 1024; bytes < LEFT_AT + 1024; bytes += STACK_STEP) {
        leave_claim();
        lower(bytes, allocate);
        found += claims_set() == 0;
        aoma_ptr_store_release(&aoma_thread_head(aoma_thread_front)->claim[class_used()], 0);
    }
    printf("found again from %u places\n", found);
    CHECK(found >= 8);
}

/* ---- emptying ---- */

/* The thread that empties its front is the one that has it. */
static void use_while_emptying(enum inject_window window)
{
    if (window != emptying)
        return;
    unsigned before = cached(aoma_thread_front, BYTES);
    void *block = AO_malloc(BYTES);
    CHECK(before > 0 && cached(aoma_thread_front, BYTES) == before);
    AO_free(block);
    CHECK(cached(aoma_thread_front, BYTES) == before && claims_set() == 0);
}

TEST(front_that_is_being_emptied_is_left_alone)
{
    require_fronts();
    fill(BYTES);
    inject_window = use_while_emptying;
    aoma_fronts_drain();
    inject_window = NULL;
    CHECK(cached(aoma_thread_front, BYTES) == 0);
    assert_accounted(0);
}

/* A handler that finds the stack claimed gets one block from the heap, which has more than a batch. */
enum { ROOMY_BYTES = 500 };
static unsigned in_the_middle;

static bool move_no_batch(void)
{
    unsigned class = aoma_class_of(ROOMY_BYTES);

    if (!is_due())
        return true;
    if (is_claimed(aoma_thread_front, class)) {
        unsigned before = cached(aoma_thread_front, ROOMY_BYTES);
        void *block = AO_malloc(ROOMY_BYTES);
        CHECK(block && aoma_transfer_count(class) == 0);
        AO_free(block);
        CHECK(aoma_transfer_count(class) == 0 && cached(aoma_thread_front, ROOMY_BYTES) == before);
        in_the_middle++;
    }
    return false;
}

TEST(handler_in_the_middle_moves_no_batch)
{
    require_steps();
    for (act_after = 1, acted = 1; acted; act_after++) {
        aoma_fronts_drain();
        fill(ROOMY_BYTES);
        arm(move_no_batch);
        step_on();
        AO_free(AO_malloc(ROOMY_BYTES));
        step_off();
        step_with(NULL);
    }
    CHECK(in_the_middle >= 4);
    assert_accounted(0);
}

static bool drain_here(void)
{
    if (!is_due())
        return true;
    aoma_fronts_drain();
    return false;
}

/* Whoever comes by between its steps; what the front has then must be there to be used. */
static void push_in_steps(void *block)
{
    step_on();
    AO_free(block);
    step_off();
    step_with(NULL);
    for (unsigned i = 0; i < 3; i++)
        AO_free(AO_malloc(BYTES));
}

/* The front is empty, and was not when it was emptied last: idle, but for the push that is under way. */
TEST(pages_of_a_front_in_use_stay)
{
    require_steps();
    for (act_after = 1, acted = 1; acted; act_after++) {
        fill(BYTES);
        void *block = AO_malloc(BYTES);
        aoma_fronts_drain();
        CHECK(cached(aoma_thread_front, BYTES) == 0 && aoma_hint_get(&aoma_thread_front->touched));
        arm(drain_here);
        push_in_steps(block);
        CHECK(blocks_out() == 0);
    }
    CHECK(found_claimed >= 4);
    assert_accounted(0);
}

/* ---- a thread that is stopped in the middle ---- */

static _Atomic(struct aoma_front *) stopped;
static atomic_bool go_on;

static bool stop_if_claimed(void)
{
    if (!is_claimed(aoma_thread_front, class_used()))
        return true;
    atomic_store(&stopped, aoma_thread_front);
    while (!atomic_load(&go_on))
        sched_yield();
    return false;
}

static void *be_stopped(void *argument)
{
    (void)argument;
    fill(BYTES);
    fill(OTHER_BYTES);
    step_with(stop_if_claimed);
    step_on();
    void *block = AO_malloc(BYTES);
    step_off();
    step_with(NULL);
    canary_write(block, BYTES, 3);
    CHECK(canary_take(block));
    AO_free(block);
    return NULL;
}

static struct aoma_front *stop_one(pthread_t *thread, void *(*run)(void *argument))
{
    CHECK(pthread_create(thread, NULL, run, NULL) == 0);
    while (!atomic_load(&stopped))
        sched_yield();
    return atomic_load(&stopped);
}

/* What it is in the middle of stays, all the rest goes. */
static void assert_emptied_but_for_one(struct aoma_front *front)
{
    unsigned of_class = cached(front, BYTES);

    CHECK(of_class > 0 && of_class <= aoma_front_cap(class_used()));
    aoma_fronts_drain();
    CHECK(cached(front, BYTES) == of_class && cached(front, OTHER_BYTES) == 0);
    CHECK(aoma_fronts_count() == of_class);
}

TEST(stack_that_a_stopped_thread_is_in_the_middle_of_stays)
{
    pthread_t thread;

    require_steps();
    struct aoma_front *front = stop_one(&thread, be_stopped);
    assert_emptied_but_for_one(front);
    atomic_store(&go_on, true);
    CHECK(pthread_join(thread, NULL) == 0);
    assert_accounted(0);
}

static void **first_free_slot(struct aoma_front *front)
{
    return (void **)(void *)front + front->stack[class_used()].top;
}

/* The thread has looked at who empties its front, and is going to store the top. */
static bool stop_if_slot_is_written(void)
{
    return !*first_free_slot(aoma_thread_front) || stop_if_claimed();
}

static void *be_stopped_in_a_push(void *argument)
{
    fill(BYTES);
    void *block = AO_malloc(BYTES);
    aoma_fronts_drain();
    *first_free_slot(aoma_thread_front) = NULL;
    step_with(stop_if_slot_is_written);
    push_in_steps(block);
    return argument;
}

static void let_it_end(enum inject_window window)
{
    if (window != resting)
        return;
    inject_window = NULL;
    atomic_store(&go_on, true);
    while (is_claimed(atomic_load(&stopped), class_used()))
        sched_yield();
}

/* The thread ends its push after its claim was seen: what it pushed must be seen, too. */
TEST(pages_stay_when_a_push_ends_meanwhile)
{
    pthread_t thread;

    require_steps();
    (void)stop_one(&thread, be_stopped_in_a_push);
    inject_window = let_it_end;
    aoma_fronts_drain();
    CHECK(!inject_window && pthread_join(thread, NULL) == 0);
    assert_accounted(0);
}

static bool end_if_claimed(void)
{
    if (!is_claimed(aoma_thread_front, class_used()))
        return true;
    atomic_store(&stopped, aoma_thread_front);
    pthread_exit(NULL);
}

static void *be_ended(void *argument)
{
    (void)argument;
    fill(BYTES);
    step_with(end_if_claimed);
    step_on();
    AO_free(AO_malloc(BYTES));
    step_off();
    return NULL;
}

TEST(thread_that_a_handler_ends_in_the_middle_leaves_nothing)
{
    pthread_t thread;

    require_steps();
    require_fronts_given_up();
    CHECK(pthread_create(&thread, NULL, be_ended, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    struct aoma_front *front = atomic_load(&stopped);
    CHECK(front && !is_claimed(front, class_used()) && cached(front, BYTES) == 0);
    aoma_fronts_drain();
    CHECK(aoma_fronts_count() == 0 && blocks_out() == 0); /* its pop had not taken the block yet */
}

/* ---- emptyings that are left ---- */

static enum inject_window leave_in;
static bool leaves;

static void leave_window(enum inject_window window)
{
    if (window == leave_in) {
        inject_window = NULL;
        siglongjmp(back, 1);
    }
}

static void empty_and_leave(void)
{
    inject_window = leaves ? leave_window : NULL;
    if (sigsetjmp(back, 1) == 0)
        aoma_fronts_drain();
}

static void leave_emptying(enum inject_window window, size_t bytes)
{
    leave_in = window;
    leaves = true;
    lower(bytes, empty_and_leave);
    leaves = false;
}

static void empty_at(size_t bytes)
{
    lower(bytes, empty_and_leave);
}

static unsigned fronts_detached(void)
{
    unsigned count = 0;

    for (unsigned number = 0; number < AOMA_NUMBERS; number++)
        count += aoma_front_made(number) && !aoma_front_attached(number);
    return count;
}

/* At the same position; until then the thread has no front, and whoever else empties fronts leaves it alone. */
TEST(emptying_left_by_siglongjmp_is_found_again)
{
    static const enum inject_window windows[] = {detached, emptying, emptied};

    require_fronts();
    for (unsigned i = 0; i < sizeof windows / sizeof windows[0]; i++) {
        fill(BYTES);
        leave_emptying(windows[i], LEFT_AT);
        CHECK(fronts_detached() == 1);
        unsigned before = cached(aoma_thread_front, BYTES);
        AO_free(AO_malloc(BYTES));
        empty_at((size_t)3 * LEFT_AT);
        CHECK(fronts_detached() == 1 && cached(aoma_thread_front, BYTES) == before);
        empty_at(LEFT_AT);
        CHECK(fronts_detached() == 0 && cached(aoma_thread_front, BYTES) == 0);
        fill(BYTES);
    }
    assert_accounted(0);
}

/* The emptying that was interrupted has the first word, which is free when that has ended, and comes before. */
TEST(emptying_left_in_a_handler_of_another_is_found_again)
{
    static volatile unsigned turn;

    require_fronts();
    fill(BYTES);
    uintptr_t interrupted = aoma_fronts_drain_begin();
    leave_in = detached;
    for (turn = 0; turn < 2; turn++) { /* the same call, so that it is at the same position */
        leaves = turn == 0;
        lower(LEFT_AT, empty_and_leave);
        aoma_fronts_drain_end(interrupted);
        CHECK(fronts_detached() == (leaves ? 1 : 0));
    }
    CHECK(fronts_detached() == 0 && cached(aoma_thread_front, BYTES) == 0);
    assert_accounted(0);
}

static unsigned places_that_find(void (*look)(void))
{
    unsigned found = 0;

    for (size_t bytes = LEFT_AT - 1024; bytes < LEFT_AT + 1024; bytes += STACK_STEP) {
        fill(BYTES);
        leave_emptying(detached, LEFT_AT);
        CHECK(fronts_detached() == 1);
        lower(bytes, look);
        found += fronts_detached() == 0;
        empty_at(LEFT_AT);
        CHECK(fronts_detached() == 0);
    }
    return found;
}

/* Without a front every call is a slow one. */
TEST(emptying_is_found_again_from_elsewhere_on_the_stack)
{
    require_fronts();
    CHECK(places_that_find(empty_and_leave) >= 4);
    CHECK(places_that_find(allocate) >= 4);
}

/* The front that the interrupted one is at. */
static void empty_in_handler(enum inject_window window)
{
    if (window != emptying)
        return;
    inject_window = NULL;
    unsigned before = cached(aoma_thread_front, BYTES);
    aoma_fronts_drain();
    CHECK(before > 0 && cached(aoma_thread_front, BYTES) == before && fronts_detached() == 1);
}

TEST(emptying_in_a_handler_of_one_leaves_its_fronts_alone)
{
    require_fronts();
    fill(BYTES);
    inject_window = empty_in_handler;
    aoma_fronts_drain();
    CHECK(!inject_window && cached(aoma_thread_front, BYTES) == 0 && fronts_detached() == 0);
    assert_accounted(0);
}

/* More often than a thread can have emptyings under way: then it empties none, but others do. */
static void *leave_many_emptyings(void *depth)
{
    fill(BYTES);
    for (size_t i = 0; i < AOMA_THREAD_DRAINS + 2; i++)
        leave_emptying(i % 2 ? detached : emptying, LEFT_AT + (uintptr_t)depth + i * 1024);
    inject_window = NULL;
    return NULL;
}

TEST(emptyings_left_by_a_thread_end_with_it)
{
    enum { THREADS = 20 };
    pthread_t thread;

    require_fronts_given_up();
    for (uintptr_t i = 0; i < THREADS; i++) {
        fill(BYTES);
        CHECK(pthread_create(&thread, NULL, leave_many_emptyings, (void *)(STACK_STEP * i)) == 0);
        CHECK(pthread_join(thread, NULL) == 0);
        CHECK(fronts_detached() == 0);
        aoma_fronts_drain();
        CHECK(aoma_fronts_count() == 0 && blocks_out() == 0);
    }
    CHECK(aoma_front_made(1) && !aoma_front_made(2)); /* its and this thread's */
}

/* ---- fork ---- */

static void wait_for(pid_t child)
{
    int status;

    CHECK(child > 0);
    while (waitpid(child, &status, 0) < 0)
        CHECK(errno == EINTR);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("the child ended with wait status 0x%x", (unsigned)status);
}

static void *use_in_thread(void *argument)
{
    for (unsigned i = 0; i < 1000; i++)
        AO_free(AO_malloc(i % 2 ? BYTES : OTHER_BYTES));
    return argument;
}

TEST(child_without_the_thread_that_was_in_the_middle)
{
    pthread_t thread;

    require_steps();
    struct aoma_front *front = stop_one(&thread, be_stopped);
    pid_t child = fork();
    if (child == 0) {
        alarm(CHILD_SECONDS_MAX);
        assert_emptied_but_for_one(front);
        (void)use_in_thread(NULL);
        for (unsigned i = 0; i < 10; i++) {
            pthread_t other;
            CHECK(pthread_create(&other, NULL, use_in_thread, NULL) == 0);
            CHECK(pthread_join(other, NULL) == 0);
        }
        _exit(0);
    }
    wait_for(child);
    atomic_store(&go_on, true);
    CHECK(pthread_join(thread, NULL) == 0);
    assert_accounted(0);
}

/* The handler forks; the child goes on with the call that it interrupted. */
static pid_t forked;

static bool fork_here(void)
{
    if (!is_due())
        return true;
    forked = fork();
    if (forked == 0) {
        alarm(CHILD_SECONDS_MAX);
        (void)use_in_thread(NULL);
    }
    return false;
}

TEST(fork_at_every_instruction)
{
    require_steps();
    for (act_after = 1, acted = 1; acted; act_after++) {
        forked = -1;
        arm(fork_here);
        step_on();
        void *block = AO_malloc(BYTES);
        step_off();
        step_with(NULL);
        canary_write(block, BYTES, 9);
        CHECK(canary_take(block));
        AO_free(block);
        if (forked == 0) {
            CHECK(claims_set() == 0);
            assert_accounted(0);
            _exit(0);
        }
        if (acted)
            wait_for(forked);
    }
    CHECK(found_claimed >= 4);
    assert_accounted(0);
}
