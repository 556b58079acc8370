/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* The fronts: what they hold, that all is accounted for, and that what interrupts a section does no harm. */

#define _GNU_SOURCE
#include "fronts.h"

#include "canary.h"
#include "chain.h"
#include "child.h"
#include "process.h"
#include "rng.h"
#include "step.h"

#include <aomalloc.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "census.h"
#include "heaps.h"
#include "idle.h"
#include "owner.h"
#include "segment.h"
#include "transfer.h"

enum { CAP_MAX = AOMA_FRONT_CAP(AOMA_UNIT_BYTES) }; /* of the smallest class */

static void move_about(const pthread_t *threads)
{
    static unsigned turn;
    cpu_set_t cpus, all;

    sched_getaffinity(0, sizeof all, &all);
    for (unsigned i = 0; i < EXCHANGE_THREADS; i++) {
        unsigned wanted = (i + turn) % (unsigned)CPU_COUNT(&all);
        unsigned cpu = 0;
        for (; cpu < CPU_SETSIZE; cpu++)
            if (CPU_ISSET(cpu, &all) && wanted-- == 0)
                break;
        CPU_ZERO(&cpus);
        CPU_SET(cpu, &cpus);
        pthread_setaffinity_np(threads[i], sizeof cpus, &cpus);
    }
    turn++;
}

/* A front that is emptied otherwise holds few blocks at first. Returns how many were taken, for good. */
static unsigned take_what_is_cached(size_t size)
{
    unsigned count = 0;

    for (; aoma_fronts_count() > 0; count++)
        CHECK(AO_malloc(size));
    return count;
}

/* With one front. */
static void stay_on_this_cpu(void)
{
    cpu_set_t cpu;

    CPU_ZERO(&cpu);
    CPU_SET((size_t)sched_getcpu(), &cpu);
    CHECK(sched_setaffinity(0, sizeof cpu, &cpu) == 0);
}

TEST(threads_moved_about)
{
    require_fronts();
    exchange_while(move_about);
}

TEST(threads_moved_about_with_numbers_of_cpus)
{
    inject_old_kernel = 1;
    require_fronts();
    exchange_while(move_about);
}

static void trim(const pthread_t *threads)
{
    (void)threads;
    AO_malloc_trim();
}

TEST(fronts_emptied_under_way)
{
    require_fronts();
    exchange_while(trim);
}

static void trim_and_move(const pthread_t *threads)
{
    AO_malloc_trim();
    move_about(threads);
}

static void give_others_time(enum inject_window window)
{
    (void)window;
    sched_yield();
}

TEST(fronts_emptied_with_every_window_stretched)
{
    require_fronts();
    inject_window = give_others_time;
    exchange_while(trim_and_move);
}

/* What a handler in each window would do. */
static void use_in_window(enum inject_window window)
{
    static _Thread_local unsigned depth;
    void *blocks[40];

    if (depth >= 2)
        return;
    depth++;
    for (unsigned i = 0; i < 40; i++) {
        blocks[i] = AO_malloc(64 + 16 * (unsigned)window);
        CHECK(blocks[i]);
        canary_write(blocks[i], 64, i);
    }
    for (unsigned i = 0; i < 40; i++) {
        CHECK(canary_take(blocks[i]));
        AO_free(blocks[i]);
    }
    if (window == detached)
        AO_malloc_trim();
    depth--;
}

TEST(calls_within_every_window)
{
    require_fronts();
    inject_window = use_in_window;
    exchange_while(trim);
}

/* ---- signals ---- */

static atomic_ulong signals;

static void allocate_in_handler(int number)
{
    static _Thread_local struct rng rng;

    (void)number;
    rng.state ^= atomic_fetch_add(&signals, 1);
    take_and_free(&rng, 4, 6);
}

static void send_signals(const pthread_t *threads)
{
    for (unsigned i = 0; i < EXCHANGE_THREADS; i++)
        pthread_kill(threads[i], SIGUSR1);
    struct timespec pause = {0, 30000};
    nanosleep(&pause, NULL);
}

TEST(handlers_that_allocate_at_10_khz)
{
    struct sigaction action;

    require_fronts();
    memset(&action, 0, sizeof action);
    action.sa_handler = allocate_in_handler;
    action.sa_flags = SA_RESTART | SA_NODEFER;
    sigaction(SIGUSR1, &action, NULL);
    exchange_while(send_signals);
    CHECK(atomic_load(&signals) > 0);
}

/* ---- one step at a time ---- */

static unsigned long steps;

static bool count_step(void)
{
    steps++;
    return true;
}

/* Each section is aborted; what it should have done must be done otherwise. */
TEST(stepped_calls_end)
{
    require_fronts();
    step_require();
    AO_free(AO_malloc(100));
    for (unsigned round = 0; round < 3; round++) {
        step_with(count_step);
        step_through_calls();
        step_with(NULL);
    }
    CHECK(steps > STEPPED_BLOCKS * 20L && steps < STEPPED_BLOCKS * 6L * 5000);
    assert_accounted(0);
}

/* A handler that allocates and frees the same size. */
static void allocate_and_free_100(void)
{
    void *block = AO_malloc(100);

    CHECK(block);
    AO_free(block);
}

TEST(handler_after_each_instruction)
{
    require_fronts();
    step_require();
    AO_free(AO_malloc(100));
    act_after_each_step(allocate_and_free_100);
    assert_accounted(0);
}

/* One more, kept, of what the interrupted call may just be taking for itself. */
static void *taken_by_handler;
static unsigned long act_after;

static bool take_once(void)
{
    if (++steps < act_after)
        return true;
    taken_by_handler = AO_malloc(100);
    return false;
}

static void put_batch_into_a_place(unsigned class)
{
    struct aoma_transfer place;

    CHECK(aoma_transfer_take_room(class, &place) && place.count == 0);
    place.count = aoma_heaps_take_batch(class, place.blocks, aoma_front_batch(class));
    CHECK(place.count > 0);
    aoma_transfer_put(&place);
}

/* The batch of a transfer place has one taker. */
TEST(batch_taken_by_a_handler_after_each_instruction)
{
    enum { BLOCKS = AOMA_FRONT_BATCH_MAX + 3 };
    static void *blocks[BLOCKS];
    unsigned class = aoma_class_of(100);

    require_fronts();
    step_require();
    AO_free(AO_malloc(100));
    for (act_after = 1; act_after == 1 || taken_by_handler; act_after++) {
        taken_by_handler = NULL;
        aoma_fronts_drain();
        put_batch_into_a_place(class);
        steps = 0;
        step_with(take_once);
        step_on();
        blocks[0] = AO_malloc(100);
        step_off();
        step_with(NULL);
        for (unsigned i = 1; i < BLOCKS; i++)
            blocks[i] = i == 1 && taken_by_handler ? taken_by_handler : AO_malloc(100);
        for (unsigned i = 0; i < BLOCKS; i++)
            canary_write(blocks[i], 100, i);
        for (unsigned i = 0; i < BLOCKS; i++) {
            CHECK(canary_take(blocks[i]));
            AO_free(blocks[i]);
        }
    }
    CHECK(act_after > 20);
    assert_accounted(0);
}

/* ---- interrupted at a store ---- */

/*
 * A step aborts a section at its first instruction. What comes later is reached by a fault: a page of the front is made
 * read-only, so that the section's first store there ends in a handler, which makes the page writable again and uses
 * the front. The kernel has aborted the section by then, as it does for any handler.
 */
enum { OWNED_MAX = CAP_MAX + 8 };

static void *owned[OWNED_MAX];
static unsigned owned_count;

static void own_one(void)
{
    void *block = AO_malloc(100);

    CHECK(block && owned_count < OWNED_MAX);
    canary_write(block, 100, owned_count);
    owned[owned_count++] = block;
}

static void free_one(void)
{
    void *block = owned[--owned_count];

    CHECK(canary_take(block));
    AO_free(block);
}

static void *faulting_page;
static unsigned faults;

static void set_protection(int protection)
{
    CHECK(mprotect(faulting_page, (size_t)sysconf(_SC_PAGESIZE), protection) == 0);
}

/* A block more, and the slots have changed. */
static void use_front_after_fault(int number, siginfo_t *information, void *context)
{
    int kept = errno;

    (void)context;
    CHECK((uintptr_t)information->si_addr - (uintptr_t)faulting_page < (size_t)sysconf(_SC_PAGESIZE));
    if (faults++ > 0)
        signal(number, SIG_DFL);
    set_protection(PROT_READ | PROT_WRITE);
    own_one();
    own_one();
    free_one();
    errno = kept;
}

static void interrupt_at(const volatile void *address, void (*operation)(void))
{
    faulting_page = (void *)((uintptr_t)address & ~((uintptr_t)sysconf(_SC_PAGESIZE) - 1));
    faults = 0;
    set_protection(PROT_READ);
    operation();
    CHECK(faults == 1);
    while (owned_count > 0)
        free_one();
    assert_accounted(0);
}

static struct aoma_front *front_of_this_cpu(void)
{
    struct aoma_front *front = aoma_front_here();

    CHECK(front);
    return front;
}

static struct aoma_front *front_that_faults(void)
{
    struct sigaction action;

    require_fronts();
    stay_on_this_cpu();
    AO_free(AO_malloc(100));
    memset(&action, 0, sizeof action);
    action.sa_sigaction = use_front_after_fault;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGSEGV, &action, NULL);
    return front_of_this_cpu();
}

static void own_up_to(unsigned count)
{
    while (owned_count < count)
        own_one();
}

/* One more block is owned than the front, which is full, has slots. */
static void fill_front(unsigned class)
{
    own_up_to(aoma_front_cap(class) + 1);
    aoma_fronts_drain();
    while (owned_count > 1)
        free_one();
}

TEST(section_interrupted_at_its_stores)
{
    unsigned class = aoma_class_of(100);
    struct aoma_front *front = front_that_faults();
    const volatile void *top = &front->stack[class].top;
    void **slots = (void **)(void *)front;

    own_up_to(5);
    interrupt_at(top, own_one); /* pop */
    own_up_to(5);
    interrupt_at(&slots[front->stack[class].top], free_one); /* push */
    own_up_to(5);
    interrupt_at(top, free_one);
    aoma_fronts_drain();
    interrupt_at(&slots[front->stack[class].bottom], own_one); /* push of a batch */
    aoma_fronts_drain();
    interrupt_at(top, own_one);
    fill_front(class);
    interrupt_at(top, free_one); /* pop of a batch */
}

/* ---- bounds ---- */

static void free_many(size_t size, size_t bytes)
{
    struct chain chain = {0};

    while (chain.bytes < bytes)
        CHECK(chain_add(&chain, size));
    chain_free(&chain);
}

TEST(fronts_hold_no_more_than_stated)
{
    size_t most = 0;

    require_fronts();
    for (unsigned class = 0; class < AOMA_CLASSES; class ++) {
        free_many(aoma_class_bytes(class), 512 * KIB);
        size_t bytes = bytes_in_fronts();
        most = bytes > most ? bytes : most;
        CHECK(aoma_transfer_count(class) <= (size_t)AOMA_TRANSFER_PLACES * aoma_front_batch(class));
    }
    CHECK(most > 0);
    assert_accounted(0);
}

/* What is freed in random order leaves few runs that a cached block keeps from being free. */
TEST(fronts_let_go_when_a_program_shrinks)
{
    enum { BYTES = 24 * MIB };
    static const size_t sizes[] = {32, 200, 1024, 4096};
    static void *blocks[BYTES / 32];
    struct rng rng = {1};

    require_fronts();
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t count = BYTES / sizes[i];
        struct aoma_census census;

        for (size_t n = 0; n < count; n++) {
            blocks[n] = AO_malloc(sizes[i]);
            CHECK(blocks[n]);
        }
        for (size_t n = count; n > 0; n--) {
            size_t other = rng_below(&rng, n);
            AO_free(blocks[other]);
            blocks[other] = blocks[n - 1];
        }
        CHECK(aoma_fronts_count() > 0);
        aoma_census_count(&census);
        CHECK(census.chunks_taken * AOMA_CHUNK_BYTES <= BYTES / 8);
        CHECK(aoma_idle_dirty_bytes() <= 8 * MIB);
    }
    assert_accounted(0);
}

/* ---- foreign blocks ---- */

static struct aoma_run *run_of(const void *block)
{
    return aoma_hinted_run(aoma_ptr_load_acquire(aoma_run_hint((uintptr_t)block)));
}

static bool is_in_its_run(const void *block)
{
    unsigned index;

    CHECK(aoma_run_begins(run_of(block), (uintptr_t)block - run_of(block)->base, &index));
    return !aoma_run_in_use(run_of(block), index);
}

/* Two batches and one, whose runs belong to another CPU. */
static void free_foreign(const struct aoma_front *front, unsigned class)
{
    enum { MANY = 2 * AOMA_FRONT_BATCH_MAX + 1 };
    static void *blocks[MANY];

    for (unsigned i = 0; i < MANY; i++) {
        blocks[i] = AO_malloc(aoma_class_bytes(class));
        CHECK(blocks[i]);
    }
    for (unsigned i = 0; i < MANY; i++)
        aoma_hint_set(&run_of(blocks[i])->owner, aoma_front_owner(aoma_fronts_on()) + 1);
    unsigned before = aoma_front_held(front, class);
    for (unsigned i = 0; i < MANY; i++)
        AO_free(blocks[i]);
    CHECK(aoma_front_held(front, class) == before);
    CHECK(aoma_front_held(front, AOMA_FRONT_FOREIGN + class) == 1);
    for (unsigned i = 0; i < MANY - 1; i++)
        CHECK(is_in_its_run(blocks[i]));
    CHECK(!is_in_its_run(blocks[MANY - 1]));
}

/* Blocks that share a cache line with another CPU's are not handed out here, but go back a batch at a time. */
TEST(blocks_of_another_cpus_lines_go_back_to_their_runs)
{
    require_fronts();
    stay_on_this_cpu();
    AO_free(AO_malloc(100));
    const struct aoma_front *front = front_of_this_cpu();
    for (unsigned class = 0; class < AOMA_FRONT_SHARING_CLASSES; class ++)
        free_foreign(front, class);
    assert_accounted(0);
    CHECK(aoma_front_held(front, AOMA_FRONT_FOREIGN) == 0);
}

/* A line of its own: who frees it may have it. */
TEST(blocks_that_share_no_line_are_nobodys)
{
    require_fronts();
    stay_on_this_cpu();
    AO_free(AO_malloc(64));
    const struct aoma_front *front = front_of_this_cpu();
    void *block = AO_malloc(64);
    aoma_hint_set(&run_of(block)->owner, aoma_front_owner(aoma_fronts_on()) + 1);
    AO_free(block);
    CHECK(AO_malloc(64) == block);
    CHECK(aoma_front_held(front, AOMA_FRONT_FOREIGN) == 0);
}

/* No place is kept by a call that is over. */
TEST(every_place_is_put_back)
{
    require_fronts();
    for (unsigned class = 0; aoma_front_batch(class) > 0; class ++)
        free_many(aoma_class_bytes(class), 512 * KIB);
    AO_malloc_trim();
    for (unsigned class = 0; aoma_front_batch(class) > 0; class ++) {
        struct aoma_transfer place;
        for (unsigned i = 0; i < AOMA_TRANSFER_PLACES; i++)
            CHECK(aoma_transfer_take_room(class, &place) && place.count == 0);
        CHECK(!aoma_transfer_take_room(class, &place));
    }
}

static void *held[2 * CAP_MAX];
static unsigned held_count;

static void free_held(enum inject_window window)
{
    (void)window;
    while (held_count > 0)
        AO_free(held[--held_count]);
}

/* A batch is on its way into the front, which others fill meanwhile, to the last slot. */
TEST(batch_that_finds_no_room_stays_in_its_place)
{
    unsigned class = aoma_class_of(64);

    require_fronts();
    AO_free(AO_malloc(64));
    while (held_count < aoma_front_cap(class))
        held[held_count++] = AO_malloc(64);
    unsigned rest = take_what_is_cached(64);
    CHECK(AO_malloc(64) && aoma_fronts_count() == 0); /* begins a word, of which the batch will be */
    rest++;
    inject_window = free_held;
    void *block = AO_malloc(64);
    inject_window = NULL;
    CHECK(block && held_count == 0);
    CHECK(bytes_in_fronts() == (size_t)aoma_front_cap(class) * 64);
    CHECK(aoma_transfer_count(class) > 0);
    assert_accounted(1 + rest);
}

/* Sections may move several pointers at once, and the rest singly. A push or pop that is disturbed is tried again. */
TEST(batches_of_any_length_keep_their_order)
{
    void *blocks[AOMA_FRONT_BATCH_MAX];
    unsigned class = aoma_class_of(64);

    require_fronts();
    stay_on_this_cpu();
    for (unsigned i = 0; i < AOMA_FRONT_BATCH_MAX; i++)
        CHECK(blocks[i] = AO_malloc(64));
    struct aoma_front *front = aoma_front_here();
    void *volatile *slots = (void *volatile *)(volatile void *)front;
    for (unsigned n = 1; n <= AOMA_FRONT_BATCH_MAX; n++) {
        void *back[AOMA_FRONT_BATCH_MAX + 1] = {NULL};
        unsigned top = front->stack[class].top;
        void *above = slots[top + n];
        unsigned count;
        while (!aoma_front_push_batch(aoma_fronts_on(), class, blocks, n))
            ;
        CHECK(front->stack[class].top == top + n && slots[top + n] == above);
        while (!(count = aoma_front_pop_batch(aoma_fronts_on(), class, back, n)))
            ;
        CHECK(count == n && front->stack[class].top == top);
        CHECK(memcmp(blocks, back, n * sizeof(*blocks)) == 0 && !back[n]);
    }
    assert_accounted(AOMA_FRONT_BATCH_MAX);
}

/* ---- emptied ---- */

/* In fronts and places. */
static size_t cached_of(unsigned class)
{
    size_t count = aoma_transfer_count(class);

    for (unsigned number = 0; number < AOMA_NUMBERS; number++) {
        const struct aoma_front *front = aoma_front_attached(number);
        count += front ? aoma_front_held(front, class) : 0;
    }
    return count;
}

TEST(fronts_serve_again_after_they_were_emptied)
{
    require_fronts();
    free_many(64, 32 * KIB);
    AO_malloc_trim();
    CHECK(bytes_in_fronts() == 0);
    free_many(64, 32 * KIB);
    CHECK(bytes_in_fronts() > 0);
}

static size_t front_bytes(void)
{
    return AOMA_FRONT_HEAD_BYTES + (AOMA_FRONT_FIRST_SLOT + AOMA_FRONT_SLOTS) * sizeof(void *);
}

/* Of the fronts' slots. */
static size_t resident_pages(void)
{
    static unsigned char resident[64];
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t bytes = front_bytes();
    size_t count = 0;

    CHECK(bytes / page < sizeof(resident));
    for (unsigned number = 0; number < AOMA_NUMBERS; number++) {
        char *front = (char *)aoma_front_made(number);
        if (!front)
            continue;
        CHECK(mincore(front - AOMA_FRONT_HEAD_BYTES, bytes, resident) == 0);
        for (size_t i = AOMA_PAGE_BYTES / page; i * page < bytes; i++)
            count += resident[i] & 1;
    }
    return count;
}

TEST(pages_of_an_idle_front_go_back)
{
    require_fronts();
    if (front_bytes() <= AOMA_PAGE_BYTES)
        test_skip("a front has no whole page behind its first");
    for (unsigned round = 0; round < 3; round++) {
        for (size_t size = 16; size <= 8192; size += 16)
            AO_free(AO_malloc(size));
        CHECK(bytes_in_fronts() > 0);
        size_t used = resident_pages();
        CHECK(used > 5 * KIB * sizeof(void *) / AOMA_PAGE_BYTES); /* a third of the slots */
        aoma_fronts_drain();
        CHECK(resident_pages() == used); /* it may be in use soon */
        aoma_fronts_drain();
        CHECK(resident_pages() == 0);
        assert_accounted(0);
    }
}

/* What is cached of one size gives its memory back when a program goes over to another. */
TEST(fronts_are_emptied_when_the_heap_grows)
{
    struct chain chain = {0};

    require_fronts();
    free_many(64, 512 * KIB);
    CHECK(cached_of(aoma_class_of(64)) > 0);
    while (chain.bytes < 32 * MIB)
        CHECK(chain_add(&chain, 5000));
    CHECK(cached_of(aoma_class_of(64)) == 0);
    chain_free(&chain);
}

/* Without it nothing is known of sections that may be under way. */
TEST(fronts_stay_as_they_are_when_membarrier_refuses)
{
    require_fronts();
    free_many(64, 32 * KIB);
    size_t count = bytes_in_fronts();
    CHECK(count > 0);
    refuse_system_call(SYS_membarrier);
    AO_malloc_trim();
    CHECK(bytes_in_fronts() == count);
}

TEST(no_front_when_the_limit_says_no)
{
    AO_malloc_enable_mmap();
    AO_malloc_set_limit(0);
    void *block = AO_malloc(100);
    CHECK(block);
    AO_free(block);
    CHECK(aoma_fronts_count() == 0);
}

/* Everything that fronts hold can be had before NULL is returned. */
TEST(nothing_is_stranded_at_the_limit)
{
    struct chain chain = {0};

    require_fronts();
    AO_malloc_set_limit(8 * MIB);
    chain_exhaust(&chain, 1000);
    size_t bytes = chain.bytes;
    chain_free(&chain);
    for (unsigned round = 0; round < 3; round++) {
        free_many(500, 4 * MIB);
        free_many(100, 4 * MIB);
        chain_exhaust(&chain, 1000);
        CHECK(chain.bytes >= bytes / 100 * 95);
        chain_free(&chain);
    }
}

/* ---- second frees ---- */

static void *freed;

static void free_again(void *argument)
{
    (void)argument;
    AO_free(opaque_pointer(freed));
}

static void ask_size(void *argument)
{
    (void)argument;
    (void)AO_malloc_usable_size(opaque_pointer(freed));
}

static void assert_refused(void (*call)(void *), const char *name)
{
    struct child_result result;

    child_run(call, NULL, CHILD_STDERR_CAPTURED, &result);
    CHECK(WIFSIGNALED(result.status) && WTERMSIG(result.status) == SIGABRT);
    CHECK(strstr(result.output, name) && strstr(result.output, "not in use: freed already"));
}

static void assert_refused_everywhere(void)
{
    assert_refused(free_again, "AO_free(");
    assert_refused(ask_size, "AO_malloc_usable_size(");
}

TEST(second_free_of_what_lies_in_the_front)
{
    test_skip_where_pointers_are_believed();
    require_fronts();
    freed = AO_malloc(100);
    AO_free(freed);
    assert_refused_everywhere();
}

TEST(second_free_of_what_lies_below_others)
{
    test_skip_where_pointers_are_believed();
    require_fronts();
    freed = AO_malloc(100);
    void *others[5];
    for (unsigned i = 0; i < 5; i++)
        others[i] = AO_malloc(100);
    AO_free(freed);
    for (unsigned i = 0; i < 5; i++)
        AO_free(others[i]);
    assert_refused_everywhere();
}

TEST(second_free_of_a_foreign_block)
{
    test_skip_where_pointers_are_believed();
    require_fronts();
    stay_on_this_cpu();
    AO_free(AO_malloc(32));
    freed = AO_malloc(32);
    unsigned stack = AOMA_FRONT_FOREIGN + aoma_class_of(32);
    unsigned before = aoma_front_held(front_of_this_cpu(), stack);
    aoma_hint_set(&run_of(freed)->owner, aoma_front_owner(aoma_fronts_on()) + 1);
    AO_free(freed);
    CHECK(aoma_front_held(front_of_this_cpu(), stack) == before + 1);
    assert_refused_everywhere();
}

enum { FREED_CLASS = 6 };

/* The block is freed when but one slot of the front is left, and so many after it: the first of them moves it to a
 * transfer place. */
static void free_into_last_slot(unsigned after)
{
    static void *others[CAP_MAX + (AOMA_TRANSFER_PLACES + 1) * AOMA_FRONT_BATCH_MAX];
    unsigned before = aoma_front_cap(FREED_CLASS) - 1;

    require_fronts();
    stay_on_this_cpu();
    CHECK(aoma_class_of(100) == FREED_CLASS);
    freed = AO_malloc(100);
    for (unsigned i = 0; i < before + after; i++)
        others[i] = AO_malloc(100);
    (void)take_what_is_cached(100);
    for (unsigned i = 0; i < before; i++)
        AO_free(others[i]);
    AO_free(freed);
    for (unsigned i = before; i < before + after; i++)
        AO_free(others[i]);
}

TEST(second_free_of_what_lies_in_a_transfer_place)
{
    test_skip_where_pointers_are_believed();
    free_into_last_slot(1);
    CHECK(aoma_transfer_count(FREED_CLASS) == aoma_front_batch(FREED_CLASS) && !is_in_its_run(freed));
    assert_refused_everywhere();
}

/* When every place has a batch the first one goes back. */
TEST(second_free_of_what_is_back_in_its_run)
{
    test_skip_where_pointers_are_believed();
    free_into_last_slot(1 + AOMA_TRANSFER_PLACES * AOMA_FRONT_BATCH_MAX);
    CHECK(is_in_its_run(freed));
    assert_refused_everywhere();
}

/* The last block of the run that a first block comes from: too far for the batch that came with it. */
TEST(free_of_what_was_never_handed_out)
{
    test_skip_where_pointers_are_believed();
    require_fronts();
    char *block = AO_malloc(512);
    const struct aoma_run *run = run_of(block);
    CHECK((uintptr_t)block - run->base < 32 * KIB);
    freed = (void *)(run->base + aoma_hint32_get(&run->blocks_bytes) - 512);
    CHECK((uintptr_t)freed - run->base >= 60 * KIB);
    assert_refused(free_again, "AO_free(");
}

/* The neighbour of a second block: a first one comes with a new run, the second with a batch. */
TEST(free_of_what_came_with_a_batch)
{
    test_skip_where_pointers_are_believed();
    require_fronts();
    stay_on_this_cpu();
    CHECK(AO_malloc(1024));
    char *block = AO_malloc(1024);
    const struct aoma_run *run = run_of(block);
    freed = block + 1024;
    CHECK((uintptr_t)freed - run->base < aoma_hint32_get(&run->blocks_bytes) && !is_in_its_run(freed));
    assert_refused_everywhere();
}

/* A block that bears the mark but is in use is a good one. */
TEST(mark_alone_is_no_fault)
{
    require_fronts();
    for (unsigned i = 0; i < 100; i++) {
        void *block = AO_malloc(100);
        aoma_front_mark(block);
        AO_free(block);
    }
    assert_accounted(0);
}
