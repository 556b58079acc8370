/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Handlers that allocate and free while the flow they interrupt, other handlers and other threads do so too. Blocks
 * pass between all of them through shared slots, so some stay allocated over many handlers.
 */

#define _GNU_SOURCE
#include "canary.h"
#include "chain.h"
#include "exchange.h"
#include "test.h"
#include "whole.h"

#include <aomalloc.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Since glibc 2.38 and in musl; before, the name of an inner field. */
#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

enum { THREADS = 3, SLOTS = 256, PERIOD_NS = 200000, NESTING_MAX = 6, OPERATIONS_PER_LOOK = 64 };

static _Atomic(void *) slots[SLOTS];
static struct exchange exchange = {.slots = slots, .slot_count = SLOTS, .min_bytes = CANARY_MIN_BYTES, .doublings = 8};
static uint64_t deadline_ns;
static atomic_ulong handlers_run, handlers_nested;
static bool nesting; /* handlers are to interrupt handlers */

/* Handlers of a thread that interrupt each other now. */
static _Thread_local volatile sig_atomic_t depth;

/* Sends its thread SIGALRM. */
static _Thread_local timer_t timer;

/*
 * Once, not periodically, and anew by the handlers: where a period is over before a handler's
 * first instruction, as on a busy machine, they would nest until the stack overflows.
 */
static void arm_timer(void)
{
    static const struct itimerspec once = {{0, 0}, {0, PERIOD_NS}};
    timer_settime(timer, 0, &once, NULL);
}

static void handler(int number)
{
    int kept = errno;
    unsigned long run = atomic_fetch_add(&handlers_run, 1);
    struct rng rng = rng_stream(test_seed(), 1000000 + run);

    depth++;
    if (depth < NESTING_MAX)
        arm_timer();
    if (depth > 1)
        atomic_fetch_add(&handlers_nested, 1);
    errno = ERRNO_SENTINEL;
    void *own = AO_malloc(200);
    CHECK(!own || errno == ERRNO_SENTINEL);
    if (own)
        canary_write(own, 200, run);
    exchange_one(&exchange, &rng);
    /* The other signal interrupts this one, which SA_NODEFER lets interrupt that one again. */
    if (depth < NESTING_MAX && run % 4 == 0)
        raise(number == SIGALRM ? SIGUSR1 : SIGALRM);
    exchange_resize(&exchange, &rng);
    CHECK(!own || canary_take(own));
    errno = ERRNO_SENTINEL;
    AO_free(own);
    CHECK(errno == ERRNO_SENTINEL);
    if (--depth == 0)
        arm_timer();
    errno = kept;
}

static void install(void (*function)(int), int flags)
{
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_handler = function;
    action.sa_flags = flags;
    sigaction(SIGALRM, &action, NULL);
    sigaction(SIGUSR1, &action, NULL);
}

static void create_timer(void)
{
    struct sigevent event;

    memset(&event, 0, sizeof event);
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGALRM;
    event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
    CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
}

/* That this comes true is part of each test: on a busy machine, or under valgrind, the first signals come late. */
static bool enough_handlers(void)
{
    return atomic_load(&handlers_run) > 0 && (!nesting || atomic_load(&handlers_nested) > 0);
}

static void *exchange_with_signals(void *number)
{
    struct rng rng = rng_stream(test_seed(), (uintptr_t)number);

    create_timer();
    arm_timer();
    while (!test_passed(deadline_ns) || !enough_handlers())
        for (unsigned i = 0; i < OPERATIONS_PER_LOOK; i++) {
            errno = ERRNO_SENTINEL;
            exchange_one(&exchange, &rng);
            exchange_resize(&exchange, &rng);
        }
    timer_delete(timer);
    return NULL;
}

static void stress(size_t threads)
{
    pthread_t thread[THREADS];

    deadline_ns = test_deadline_ns();
    for (size_t i = 0; i < threads; i++)
        CHECK(pthread_create(&thread[i], NULL, exchange_with_signals, (void *)(i + 2)) == 0);
    exchange_with_signals((void *)1);
    for (size_t i = 0; i < threads; i++)
        CHECK(pthread_join(thread[i], NULL) == 0);
    exchange_clear(&exchange);
}

TEST(handlers_in_one_thread)
{
    whole_measure();
    install(handler, SA_RESTART);
    stress(0);
    whole_assert();
}

/* ThreadSanitizer delivers signals between the calls that it knows, and those to a handler when it has returned. */
static void install_nesting(void)
{
    nesting = !TEST_SANITIZED_THREAD;
    install(handler, SA_RESTART | SA_NODEFER);
}

TEST(nested_handlers_in_one_thread)
{
    whole_measure();
    install_nesting();
    stress(0);
    whole_assert();
}

TEST(nested_handlers_in_threads)
{
    whole_measure();
    install_nesting();
    stress(THREADS);
    whole_assert();
}

TEST(nested_handlers_in_an_exhausted_heap)
{
    whole_measure();
    install_nesting();
    exchange.doublings = 12;
    stress(THREADS);
    whole_assert();
}

TEST(nested_handlers_with_mmap)
{
    test_require_mremap();
    install_nesting();
    AO_malloc_enable_mmap();
    exchange.doublings = 17;
    stress(THREADS);
}

/* One size, few blocks: nearly every handler interrupts an operation on the very run it then uses. */
TEST(nested_handlers_on_one_size)
{
    whole_measure();
    install_nesting();
    exchange.min_bytes = 192;
    exchange.doublings = 1;
    exchange.slot_count = 8;
    stress(THREADS);
    whole_assert();
}

static void trimming_handler(int number)
{
    int kept = errno;
    AO_malloc_trim();
    handler(number);
    errno = kept;
}

TEST(handlers_that_trim)
{
    install(trimming_handler, SA_RESTART);
    AO_malloc_enable_mmap();
    exchange.doublings = 14;
    stress(THREADS);
}

/* What the handler below needs itself. */
enum { HANDLER_STACK_BYTES = TEST_STACK_BYTES / 2 };

static void small_stack_handler(int number)
{
    (void)number;
    int kept = errno;
    static const size_t sizes[] = {16, 1000, 20000, 200 * KIB, 3 * MIB};
    unsigned long run = atomic_fetch_add(&handlers_run, 1);
    size_t size = sizes[run % (sizeof sizes / sizeof sizes[0])];

    void *block = AO_malloc(size);
    void *aligned = AO_aligned_alloc(4096, size);
    void *zero = AO_calloc(1, size);
    void *resized = AO_realloc(block, size * 2);
    AO_free(resized ? resized : block);
    AO_free(zero);
    AO_free(aligned);
    AO_malloc_trim();
    arm_timer();
    errno = kept;
}

static char *frame_address;

static void note_frame_address(int number)
{
    (void)number;
    frame_address = __builtin_frame_address(0);
}

/*
 * An alternate stack of which the top `usable` bytes may be touched. Below them lies a page that cannot be: who needs
 * more is killed. The kernel wants more than it uses on most processors, so the stack it is told of extends into that
 * page.
 */
static char *use_stack(size_t usable)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t pages = (usable + page - 1) / page;
    stack_t stack;
    char *memory = mmap(NULL, (pages + 2) * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(memory != MAP_FAILED);
    CHECK(mprotect(memory, 2 * page, PROT_NONE) == 0);
    memset(&stack, 0, sizeof stack);
    stack.ss_sp = memory + page;
    stack.ss_size = page + usable;
    CHECK(sigaltstack(&stack, NULL) == 0);
    return memory + 2 * page + usable;
}

/* What the kernel puts on the stack for a signal: the processor's registers, of which some have 3 KiB. */
static size_t kernel_frame_bytes(void)
{
    char *top = use_stack(64 * KIB);

    install(note_frame_address, SA_ONSTACK);
    raise(SIGALRM);
    return (size_t)(top - frame_address);
}

static void use_small_stack(void)
{
    use_stack((kernel_frame_bytes() + TEST_STACK_BYTES + HANDLER_STACK_BYTES) & ~(size_t)15);
}

static void stress_on_small_stack(void)
{
    if (TEST_SANITIZED || !TEST_OPTIMIZED)
        test_skip("a sanitizer or a build without optimization needs more stack");
    use_small_stack();
    install(small_stack_handler, SA_RESTART | SA_ONSTACK);
    exchange.doublings = 13;
    stress(0);
}

TEST(handler_on_a_small_stack)
{
    stress_on_small_stack();
}

TEST(handler_on_a_small_stack_with_mmap)
{
    AO_malloc_enable_mmap();
    stress_on_small_stack();
}
