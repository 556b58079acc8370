/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* Fronts of CPUs that are not there: threads hop over more of them than any machine has, within calls too. */

#define _GNU_SOURCE
#include "fronts.h"

#include "canary.h"
#include "chain.h"
#include "exchange.h"
#include "step.h"

#include <aomalloc.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "owner.h"
#include "transfer.h"

/*
 * Fronts and heaps go by this number from use_virtual_cpus() on. Each thread has its own; it may change at any time.
 * Threads must not run with equal numbers at once: what aborts a section is the kernel, which knows its own CPUs alone.
 */
static _Thread_local volatile uint32_t virtual_cpu;

/* The program's thread-local data is at the same distance from the thread pointer in all threads. */
static void use_virtual_cpus(void)
{
    require_fronts();
    uintptr_t distance = (uintptr_t)&virtual_cpu - (uintptr_t)aoma_thread_pointer();
    aoma_ptr_store_release(&aoma_rseq_place.id, distance);
}

/* ---- one thread on many CPUs ---- */

static struct rng rng;
static unsigned cpus;

static void hop(void)
{
    virtual_cpu = (uint32_t)rng_below(&rng, cpus);
}

static void hop_in_window(enum inject_window window)
{
    (void)window;
    hop();
}

static void hop_over(unsigned count)
{
    cpus = count;
    rng = rng_stream(test_seed(), count);
    inject_window = hop_in_window;
    use_virtual_cpus();
}

static unsigned fronts_made(void)
{
    unsigned count = 0;

    for (unsigned number = 0; number < AOMA_NUMBERS; number++)
        count += aoma_front_attached(number) != NULL;
    return count;
}

/* Before each operation another number, from move(). */
static void exchange_for(unsigned operations, unsigned doublings, void (*move)(void))
{
    static _Atomic(void *) slots[256];
    struct exchange exchange = {.slots = slots, .slot_count = 256, .min_bytes = 32, .doublings = doublings};
    struct rng own = rng_stream(test_seed(), 7);

    for (unsigned i = 0; i < operations; i++) {
        move();
        exchange_one(&exchange, &own);
        move();
        exchange_resize(&exchange, &own);
    }
    exchange_clear(&exchange);
    assert_accounted(0);
}

TEST(fronts_of_64_cpus)
{
    hop_over(64);
    exchange_for(test_long() ? 2000000 : 50000, 8, hop);
    CHECK(fronts_made() == 64);
}

/* Few sizes: each front takes a batch of each. */
TEST(fronts_of_4096_cpus)
{
    hop_over(AOMA_NUMBERS);
    exchange_for(test_long() ? 500000 : 8000, 1, hop);
    CHECK(fronts_made() > 1000);
}

/* Sections and all else that goes by the number must refuse what is beyond the fronts there may be. */
static void take_any_number(void)
{
    static const uint32_t numbers[] = {
        0,     1,        AOMA_NUMBERS - 1, AOMA_NUMBERS, AOMA_NUMBERS + 1, 65535,
        65536, 1u << 29, INT_MAX,          1u << 31,     UINT32_MAX - 1,   UINT32_MAX,
    };
    virtual_cpu = numbers[rng_below(&rng, sizeof numbers / sizeof numbers[0])];
}

TEST(numbers_out_of_range)
{
    hop_over(1);
    exchange_for(20000, 8, take_any_number);
    CHECK(fronts_made() == 3);
}

static void take_impossible_number(void)
{
    virtual_cpu = AOMA_NUMBERS + (uint32_t)rng_below(&rng, UINT32_MAX - AOMA_NUMBERS);
}

TEST(numbers_out_of_range_alone)
{
    hop_over(1);
    inject_window = NULL;
    exchange_for(20000, 8, take_impossible_number);
    CHECK(fronts_made() == 0);
}

/* ---- the number changes within calls ---- */

static unsigned long steps;

static bool hop_after_each_step(void)
{
    steps++;
    hop();
    return true;
}

static void step_through(unsigned rounds)
{
    for (unsigned round = 0; round < rounds; round++)
        step_through_calls();
}

TEST(number_changes_after_each_instruction)
{
    hop_over(64);
    step_require();
    step_with(hop_after_each_step);
    step_through(test_long() ? 50 : 1);
    step_with(NULL);
    CHECK(steps > 1000);
    assert_accounted(0);
}

/* The first steps on the new CPU are a handler's. */
static void hop_and_hop_back(void)
{
    hop();
    void *block = AO_malloc(100);
    CHECK(block);
    canary_write(block, 100, 0);
    hop();
    CHECK(canary_take(block));
    AO_free(block);
}

/* Unlike above, sections succeed, on the CPU that is the new one. */
TEST(number_changes_once_after_each_instruction)
{
    hop_over(64);
    step_require();
    act_after_each_step(hop_and_hop_back);
    assert_accounted(0);
}

static pthread_t hopping;
static atomic_ulong signals;
static atomic_bool over;

static void hop_in_handler(int number)
{
    (void)number;
    atomic_fetch_add(&signals, 1);
    hop();
    void *block = AO_malloc(100);
    CHECK(block);
    hop();
    AO_free(block);
}

static void *send_signals(void *argument)
{
    static const struct timespec pause = {0, 30000};

    (void)argument;
    while (!atomic_load(&over)) {
        pthread_kill(hopping, SIGUSR1);
        nanosleep(&pause, NULL);
    }
    return NULL;
}

TEST(number_changes_in_handlers_at_10_khz)
{
    static _Atomic(void *) slots[64];
    struct exchange exchange = {.slots = slots, .slot_count = 64, .min_bytes = 32, .doublings = 8};
    struct rng own = rng_stream(test_seed(), 8);
    struct sigaction action;
    uint64_t deadline = test_deadline_ns();
    pthread_t sender;

    hop_over(64);
    memset(&action, 0, sizeof action);
    action.sa_handler = hop_in_handler;
    action.sa_flags = SA_RESTART | SA_NODEFER;
    sigaction(SIGUSR1, &action, NULL);
    hopping = pthread_self();
    CHECK(pthread_create(&sender, NULL, send_signals, NULL) == 0);
    while (!test_passed(deadline))
        exchange_one(&exchange, &own);
    atomic_store(&over, true);
    CHECK(pthread_join(sender, NULL) == 0);
    CHECK(atomic_load(&signals) > 100);
    exchange_clear(&exchange);
    assert_accounted(0);
}

/* ---- threads ---- */

enum { CPUS_OF_THREAD = 64 / EXCHANGE_THREADS };

static void hop_apart(uintptr_t thread)
{
    static _Thread_local uint32_t turn;

    virtual_cpu = (uint32_t)thread + EXCHANGE_THREADS * (turn++ * 8 % CPUS_OF_THREAD);
}

static void trim(const pthread_t *threads)
{
    (void)threads;
    AO_malloc_trim();
}

/* Memory freed on one CPU is wanted on others all the time, and fronts are emptied under way. */
TEST(threads_on_cpus_of_their_own)
{
    use_virtual_cpus();
    virtual_cpu = 63; /* of the thread that trims */
    exchange_before = hop_apart;
    exchange_while(trim);
    CHECK(fronts_made() >= EXCHANGE_THREADS * CPUS_OF_THREAD);
}

/* ---- bounds ---- */

/* After an emptying a front takes few blocks; each refill allows all of them more. */
static bool takes_as_many_as_ever(unsigned class)
{
    const struct aoma_front *front = aoma_front_here();

    return front && (unsigned)(front->stack[class].end - front->stack[class].bottom) == aoma_front_cap(class);
}

/* Whatever was allocated where, each free is on another CPU. */
static void free_hopping(size_t size, size_t bytes)
{
    struct chain chain = {0};

    while (chain.bytes < bytes || !takes_as_many_as_ever(aoma_class_of(size)))
        CHECK(chain_add(&chain, size));
    while (chain.first) {
        void *block = chain.first;
        chain.first = *(void **)block;
        hop();
        AO_free(block);
    }
}

TEST(each_of_64_fronts_holds_no_more_than_stated)
{
    static const size_t sizes[] = {16, 128, 144, 1000, 8192};

    hop_over(64);
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        unsigned class = aoma_class_of(sizes[i]);
        free_hopping(sizes[i], 4 * MIB); /* no more may lie idle before fronts are emptied */
        CHECK(bytes_in_fronts() > (class < AOMA_FRONT_SHARING_CLASSES ? 0 : 64 * (8 * KIB))); /* foreign ones go back */
        CHECK(aoma_transfer_count(class) <= (size_t)AOMA_TRANSFER_PLACES * aoma_front_batch(class));
        assert_accounted(0);
    }
}

/* At the limit, what lies in 64 fronts can be had. */
TEST(nothing_is_stranded_in_64_fronts)
{
    struct chain chain = {0};

    hop_over(64);
    AO_malloc_set_limit(24 * MIB);
    chain_exhaust(&chain, 1000);
    size_t bytes = chain.bytes;
    CHECK(bytes > 10 * MIB);
    while (chain.first) {
        void *block = chain.first;
        chain.first = *(void **)block;
        hop();
        AO_free(block);
    }
    chain = (struct chain){0};
    for (unsigned round = 0; round < 3; round++) {
        free_hopping(500, 4 * MIB);
        free_hopping(100, 4 * MIB);
        hop();
        chain_exhaust(&chain, 1000);
        CHECK(chain.bytes >= bytes / 100 * 95);
        chain_free(&chain);
    }
}
