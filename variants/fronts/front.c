/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * The slow paths of the fronts: what happens when a pop or a push fails.
 *
 * Correctness: (1) A block is in one place: in a front (below its top), in a transfer place, in a thread's hands, or
 * free in its run. Pop and push move it between the first three with one store that either happened or did not.
 * (2) While attached, a front is changed by its owner alone, and who detaches it touches only what the owner cannot be
 * about to change (drain_some). (3) Everything else goes by the CASes of transfer places, runs and headers.
 *
 * Progress: lock-free. Nothing is tried more than AOMA_FRONT_TRIES times in a row; what could not be done goes to a
 * transfer place or to the run of the block. So a call that is disturbed at each instruction ends all the same.
 */
#include "heaps.h"
#include "idle.h"
#include "inject.h"
#include "os.h"
#include "owner.h"
#include "transfer.h"

/* A pop or push of a few instructions is seldom disturbed; twice in a row is no accident. */
#define AOMA_FRONT_TRIES 2u

/* Mapped bytes when fronts were last emptied because the heap grew, or less. A hint: what threads write at once is
 * about the same. */
static struct aoma_hint drained_at;

/*
 * Bytes that batches have brought back to their runs since fronts were last emptied, less what batches took out. A hint
 * too: of what threads count at once some is lost.
 */
static struct aoma_hint returned;

/* ---- making ---- */

static struct aoma_ptr made[AOMA_NUMBERS]; /* 0 -> the front, once; whoever wins the CAS attaches it */
static struct aoma_number_set made_set;

#define FRONT_BYTES (AOMA_FRONT_HEAD_BYTES + (AOMA_FRONT_FIRST_SLOT + (size_t)AOMA_FRONT_SLOTS) * sizeof(void *))
/* Of these, whole pages behind the first: slots alone. */
#define PAGED_BYTES (((FRONT_BYTES + AOMA_PAGE_BYTES - 1) & ~(AOMA_PAGE_BYTES - 1)) - AOMA_PAGE_BYTES)

_Static_assert(AOMA_FRONT_HEAD_BYTES + AOMA_FRONT_FIRST_SLOT * sizeof(void *) <= AOMA_PAGE_BYTES,
               "what is not slots lies in the first page");

static void lay_out(struct aoma_front *front)
{
    unsigned at = AOMA_FRONT_FIRST_SLOT;

    for (unsigned i = 0; i < AOMA_FRONT_STACKS; i++) {
        struct aoma_front_stack *stack = &front->stack[i];

        stack->top = at;
        stack->bottom = (uint16_t)at;
        at += aoma_front_slots(i);
        stack->end = (uint16_t)at;
    }
}

struct aoma_front *aoma_front_make(unsigned number)
{
    char *head = aoma_source_metadata(FRONT_BYTES, NULL);

    if (!head)
        return NULL;
    struct aoma_front *front = (struct aoma_front *)(void *)(head + AOMA_FRONT_HEAD_BYTES);
    lay_out(front);
    aoma_number_set_add(&made_set, number); /* first: whoever finds the front may use it at once */
    if (aoma_ptr_cas_full(&made[number], 0, (uintptr_t)front)) {
        AOMA_INJECT(making);
        return front;
    }
    aoma_source_metadata_return(head, FRONT_BYTES, NULL);
    return NULL;
}

struct aoma_front *aoma_front_made(unsigned number)
{
    return (struct aoma_front *)aoma_ptr_load_acquire(&made[number]);
}

/* ---- how much a front holds ---- */

/*
 * Blocks of a class that any front may hold now; 0: as many as ever. After an emptying a few: a cached block keeps its
 * run from being empty, and when a program gives back what it had, the blocks that were freed last lie in many runs.
 * Whoever refills wants more: a batch, then twice as much each time. Hints, like end, which follows them.
 */
static struct aoma_hint allowed[AOMA_CLASSES];

static unsigned allowed_blocks(unsigned class)
{
    size_t blocks = aoma_hint_get(&allowed[class]);
    unsigned cap = aoma_front_cap(class);

    return blocks && blocks < cap ? (unsigned)blocks : cap;
}

/* Any end up to the cap will do, so it may be written while the owner pushes, and by several threads. */
AOMA_NO_TSAN static void allow(struct aoma_front *front, unsigned class)
{
    struct aoma_front_stack *stack = &front->stack[class];
    uint16_t end = (uint16_t)(stack->bottom + allowed_blocks(class));

    if (stack->end != end)
        stack->end = end;
}

static AOMA_NOINLINE void allow_here(unsigned class)
{
    struct aoma_front *front = aoma_front_here();

    if (front)
        allow(front, class);
}

static void allow_more(unsigned class)
{
    unsigned blocks = allowed_blocks(class);

    if (aoma_likely(blocks == aoma_front_cap(class)))
        return;
    aoma_hint_set(&allowed[class], blocks < aoma_front_batch(class) / 2 ? aoma_front_batch(class) : 2 * blocks);
}

static void allow_few(void)
{
    for (unsigned class = 0; class < AOMA_CLASSES; class ++)
        aoma_hint_set(&allowed[class], aoma_front_low_cap(class));
}

static void allow_all(struct aoma_front *front)
{
    for (unsigned class = 0; class < AOMA_CLASSES; class ++)
        allow(front, class);
}

static void count_returned(unsigned class, unsigned blocks)
{
    aoma_hint_set(&returned, aoma_hint_get(&returned) + (size_t)blocks * aoma_class_bytes(class));
}

static void count_taken(unsigned class, unsigned blocks)
{
    size_t before = aoma_hint_get(&returned);
    size_t bytes = (size_t)blocks * aoma_class_bytes(class);

    if (before)
        aoma_hint_set(&returned, before > bytes ? before - bytes : 0);
}

/* When as much has come back to the runs as may lie idle: what is still cached keeps some of it from becoming free. */
static void drain_if_shrunk(void)
{
    if (aoma_unlikely(aoma_hint_get(&returned) > aoma_idle_limit())) {
        aoma_hint_set(&returned, 0);
        (void)aoma_fronts_drain();
    }
}

/* ---- refill and overflow ---- */

static void *pop(unsigned class)
{
    return aoma_front_pop(aoma_fronts_on(), class);
}

static AOMA_NOINLINE bool push(unsigned stack, void *block)
{
    return aoma_front_push(aoma_fronts_on(), stack, block);
}

/* Moves all of a place's blocks into the front, or none. */
static AOMA_NOINLINE void push_batch(unsigned class, struct aoma_transfer *place)
{
    for (unsigned i = 0; i < AOMA_FRONT_TRIES && place->count; i++) {
        if (aoma_front_push_batch(aoma_fronts_on(), class, place->blocks, place->count))
            place->count = 0;
    }
}

static AOMA_NOINLINE void pop_batch(unsigned stack, unsigned n, struct aoma_transfer *place)
{
    for (unsigned i = 0; i < AOMA_FRONT_TRIES && !place->count; i++)
        place->count = aoma_front_pop_batch(aoma_fronts_on(), stack, place->blocks, n);
}

/* Whether the stack is one of a front here, with room now or not. */
static AOMA_NOINLINE bool has_front(unsigned stack)
{
    return aoma_front_batch(aoma_front_class(stack)) && aoma_front_require(stack);
}

/* A block, and the rest of a batch for the front. */
static AOMA_NOINLINE void *refill(unsigned class)
{
    struct aoma_transfer place;
    void *block = NULL;

    allow_more(class);
    allow_here(class);
    if (!aoma_transfer_take_full(class, &place) &&
        !(aoma_heaps_have_batch(class) && aoma_transfer_take_free(class, &place)))
        return NULL;
    AOMA_INJECT(busy);
    if (!place.count) {
        /* The rest could not go into the front, and to take a batch costs a cache line for each of its blocks. */
        unsigned wanted = aoma_front_is_busy(class) ? 1 : aoma_front_batch(class);
        place.count = aoma_heaps_take_batch(class, place.blocks, wanted);
        count_taken(class, place.count);
    }
    if (place.count) {
        block = place.blocks[--place.count];
        push_batch(class, &place);
    }
    aoma_transfer_put(&place);
    return block;
}

void *aoma_front_refill(unsigned class)
{
    void *block = pop(class);

    if (!block && has_front(class))
        block = refill(class);
    return block;
}

static AOMA_NOINLINE void give_back(unsigned class, struct aoma_transfer *place)
{
    unsigned count = place->count;

    count_returned(class, count);
    place->count = 0;
    aoma_run_give_batch(place->blocks, count); /* last, so that it needs no frame */
}

/* Moves a batch out of the front; the one that lay in the place goes back to its runs, and so do foreign blocks and a
 * small batch that nobody has asked for. */
static AOMA_NOINLINE void make_room(unsigned stack)
{
    unsigned class = aoma_front_class(stack);
    struct aoma_transfer place;

    if (!aoma_transfer_take_room(class, &place))
        return;
    if (place.count)
        give_back(class, &place);
    pop_batch(stack, aoma_front_batch(class), &place);
    if (place.count && (stack != class || allowed_blocks(class) < aoma_front_batch(class)))
        give_back(class, &place);
    AOMA_INJECT(busy);
    aoma_transfer_put(&place);
}

/* Not inlined: what is kept here over the calls is not kept while fronts are emptied. */
static AOMA_NOINLINE bool push_with_room(unsigned stack, struct aoma_segment *segment, void *block)
{
    if (!has_front(stack))
        return false;
    allow_here(aoma_front_class(stack));
    if (push(stack, block))
        return true;
    if (aoma_front_is_busy(stack)) /* there is no room to be made */
        return false;
    make_room(stack);
    aoma_segment_purge_if_due(segment); /* one of those that blocks are freed in */
    aoma_segment_purge_others_if_due(); /* an emptying may have freed chunks in any */
    return push(stack, block);
}

void aoma_front_overflow(struct aoma_run *run, unsigned index, void *block, const char *function)
{
    unsigned stack = aoma_front_stack_for(aoma_fronts_on(), run, aoma_run_class(run));

    if (push_with_room(stack, run->segment, block))
        drain_if_shrunk();
    else
        aoma_run_give(run, index, false, block, function);
}

void aoma_front_free_suspect(struct aoma_run *run, unsigned index, void *block, const char *function)
{
    unsigned class = aoma_run_class(run);

    if (class != AOMA_CLASS_LARGE && (!aoma_run_in_use(run, index) || aoma_front_has(class, block)))
        aoma_run_fail_not_in_use(block, function);
    else
        aoma_run_give(run, index, false, block, function);
}

/* ---- all fronts ---- */

/*
 * Reads stacks that their owners change meanwhile. Whoever rightly frees a block has held it since before this look
 * began, so it is below no top, nor is it pushed until the look ends: if it is found it was freed before. Only, another
 * CPU's stores of a slot and of the top above it may be seen in either order (not on x86), and the slot still hold the
 * block that was popped from it long ago. After membarrier, which is a full barrier on each CPU, what was written
 * before a top that was seen is seen as well; if it refuses, nothing is known.
 */
AOMA_NO_TSAN static bool stack_has(const struct aoma_front *front, unsigned number, const void *block)
{
    const struct aoma_front_stack *stack = &front->stack[number];
    void *const volatile *slots = (void *const volatile *)(const volatile void *)front;
    unsigned top = stack->top;

    for (unsigned at = stack->bottom; at < top; at++) {
        if (slots[at] == block && aoma_fronts_barrier() && slots[at] == block)
            return true;
    }
    return false;
}

static bool front_has(const struct aoma_front *front, unsigned class, const void *block)
{
    return stack_has(front, class, block) ||
           (class < AOMA_FRONT_SHARING_CLASSES && stack_has(front, AOMA_FRONT_FOREIGN + class, block));
}

bool aoma_front_has(unsigned class, const void *block)
{
    AOMA_FOR_NUMBERS (number, &made_set) {
        const struct aoma_front *front = aoma_front_attached(number);

        if (front && front_has(front, class, block))
            return true;
    }
    return aoma_transfer_has(class, block);
}

size_t aoma_fronts_count(void)
{
    size_t count = 0;

    AOMA_FOR_NUMBERS (number, &made_set) {
        const struct aoma_front *front = aoma_front_made(number);

        for (unsigned i = 0; front && i < AOMA_FRONT_STACKS; i++)
            count += aoma_front_held(front, i);
    }
    for (unsigned class = 0; class < AOMA_CLASSES; class ++)
        count += aoma_transfer_count(class);
    return count;
}

AOMA_NO_TSAN static AOMA_NOINLINE bool is_empty(const struct aoma_front *front)
{
    unsigned held = 0;

    for (unsigned i = 0; i < AOMA_FRONT_STACKS; i++)
        held |= aoma_front_held(front, i);
    return held == 0;
}

/* Each stack is emptied before its blocks go: who gets one of them may look for it (front_has). */
void aoma_front_empty(struct aoma_front *front)
{
    for (unsigned i = 0; i < AOMA_FRONT_STACKS; i++) {
        struct aoma_front_stack *stack = &front->stack[i];

        if (!aoma_front_is_quiet(front, i))
            continue;
        unsigned count = aoma_front_held(front, i);
        stack->top = stack->bottom;
        aoma_run_give_batch((void **)(void *)front + stack->bottom, count);
    }
}

/* All pages but the first, where the stacks' words are. What is read of them afterwards is above every top. */
static AOMA_NOINLINE void give_pages_back(struct aoma_front *front)
{
    char *mapping = (char *)front - AOMA_FRONT_HEAD_BYTES;

    aoma_hint_set(&front->touched, 0);
    if (PAGED_BYTES)
        (void)aoma_os_purge(mapping + AOMA_PAGE_BYTES, PAGED_BYTES);
}

/*
 * Behind the barrier, where what is quiet stays so. An owner that was in the middle of something may have pushed since:
 * the look at the tops comes after the one at the claims, whose acquire pairs with their ends.
 */
static AOMA_NOINLINE void let_rest(struct aoma_front *front)
{
    bool quiet = true;

    for (unsigned i = 0; i < AOMA_FRONT_STACKS; i++)
        quiet = quiet && aoma_front_is_quiet(front, i);
    AOMA_INJECT(resting);
    if (quiet && is_empty(front))
        give_pages_back(front);
}

/* What has blocks, and what has had some when this was called last. */
static bool is_worth_detaching(const struct aoma_front *front)
{
    return !is_empty(front) || aoma_hint_get(&front->touched);
}

/* Of the numbers from first on, a bit each: those of which this call has detached the fronts. */
static AOMA_NOINLINE unsigned detach_some(unsigned first, uintptr_t by)
{
    unsigned ours = 0;

    for (unsigned i = 0; i < AOMA_FRONTS_AT_ONCE; i++) {
        struct aoma_front *front = aoma_front_to_drain(first + i, by);

        if (!front)
            continue;
        allow_all(front);
        if (is_worth_detaching(front) && aoma_front_detach(first + i, front, by))
            ours |= 1u << i;
    }
    return ours;
}

static void attach_again(unsigned number, struct aoma_front *front)
{
    AOMA_INJECT(emptied);
    aoma_front_attach(number, front);
}

/* Whether it held anything. Little is kept over the calls: this is part of the deepest chains. */
static AOMA_NOINLINE bool empty_and_attach(unsigned number)
{
    struct aoma_front *front = aoma_front_made(number);

    if (is_empty(front)) {
        let_rest(front);
        attach_again(number, front);
        return false;
    }
    aoma_hint_set(&front->touched, 1);
    aoma_front_empty(front);
    if (!is_empty(front)) /* an owner that was in the middle of something is through now, or preempted */
        aoma_front_empty(front);
    attach_again(number, front);
    return true;
}

static AOMA_NOINLINE void attach_all_again(unsigned first, unsigned ours)
{
    for (; ours; ours &= ours - 1) {
        unsigned number = first + aoma_lowest_bit(ours);

        attach_again(number, aoma_front_made(number));
    }
}

/* Behind the barrier quiet stacks are this thread's alone. Each front is attached as soon as it is empty. */
static bool drain_some(unsigned first, uintptr_t by)
{
    unsigned ours = detach_some(first, by);
    bool drained = false;

    if (!ours)
        return false;
    AOMA_INJECT(detached);
    if (!aoma_fronts_barrier()) { /* nothing is known of what owners are doing, so fronts stay as they are */
        attach_all_again(first, ours);
        return false;
    }
    AOMA_INJECT(emptying);
    for (; ours; ours &= ours - 1)
        drained |= empty_and_attach(first + aoma_lowest_bit(ours));
    return drained;
}

/* Empties a FULL place; whether there was one. */
static AOMA_NOINLINE bool drain_place(unsigned class)
{
    struct aoma_transfer place;

    if (!aoma_transfer_take_full(class, &place))
        return false;
    aoma_run_give_batch(place.blocks, place.count);
    place.count = 0;
    aoma_transfer_put(&place);
    return true;
}

/* As many as there are, however fast others fill them again. */
static bool drain_places(unsigned class)
{
    bool drained = false;

    for (unsigned i = 0; i < AOMA_TRANSFER_PLACES && drain_place(class); i++)
        drained = true;
    return drained;
}

void aoma_fronts_drain_if_grown(void)
{
    size_t mapped = aoma_source_mapped_bytes();
    size_t before = aoma_hint_get(&drained_at);

    if (aoma_likely(mapped - before <= before >> AOMA_FRONT_GROWTH_SHIFT) || !aoma_fronts_on())
        return;
    aoma_hint_set(&drained_at, mapped);
    if (mapped > before)
        (void)aoma_fronts_drain();
}

/* Where the next front from here on is, rounded down. */
static unsigned next_group(unsigned number)
{
    return aoma_number_set_next(&made_set, number) / AOMA_FRONTS_AT_ONCE * AOMA_FRONTS_AT_ONCE;
}

static AOMA_NOINLINE bool drain_all_places(void)
{
    bool drained = false;

    for (unsigned class = 0; class < AOMA_CLASSES; class ++)
        drained |= drain_places(class);
    return drained;
}

/* Its frame is there until all are attached again. */
static AOMA_NOINLINE bool drain_fronts(bool drained)
{
    uintptr_t by = aoma_fronts_drain_begin();

    if (!by)
        return drained;
    for (unsigned first = next_group(0); first < AOMA_NUMBERS; first = next_group(first + AOMA_FRONTS_AT_ONCE))
        drained |= drain_some(first, by);
    aoma_fronts_drain_end(by);
    return drained;
}

/* Inlined, as this is part of the deepest chains. */
AOMA_INLINE bool drain(void)
{
    if (!aoma_fronts_on())
        return false;
    allow_few();
    return drain_fronts(drain_all_places());
}

bool aoma_fronts_drain(void)
{
    return drain();
}

bool aoma_fronts_give_all_back(void)
{
    bool drained = drain();

    (void)drain();
    return drained;
}
