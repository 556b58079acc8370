/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

#include "state.h"
#include "canary.h"
#include "step.h"
#include "test.h"

#include <aomalloc.h>

#include <errno.h>
#include <stdio.h>

#include "census.h"
#include "kept.h"
#include "size_class.h"

void *held[HELD_MAX];
size_t held_count;
void *subject;
void *volatile returned;
size_t returned_bytes;
bool state_memory_was_short;
static int call_errno;

enum { STATE_BATCH_BLOCKS = 64 }; /* AOMA_FRONT_BATCH_MAX */

static unsigned char region[MIB] __attribute__((aligned(AOMA_CHUNK_BYTES)));
static int region_result;

void *state_allocate(size_t size)
{
    void *block = AO_malloc(size);

    CHECK(block);
    canary_write(block, size, size);
    return block;
}

void state_release(void *block)
{
    CHECK(!block || canary_take(block));
    AO_free(block);
}

void state_hold(size_t size)
{
    CHECK(held_count < HELD_MAX);
    held[held_count++] = state_allocate(size);
}

void state_hold_many(size_t size, size_t count)
{
    while (count-- > 0)
        state_hold(size);
}

void state_release_held(void)
{
    while (held_count > 0)
        state_release(held[--held_count]);
}

static struct aoma_census census_now(void)
{
    struct aoma_census census;

    aoma_census_take(&census);
    return census;
}

/* ---- what calls find ---- */

static void nothing(void)
{
}

static void one_block(void)
{
    state_hold(STATE_BYTES);
}

/* All blocks of so many runs are in use, and there are no others. */
static void full_runs(size_t count)
{
    state_hold(STATE_BYTES);
    while (census_now().full + census_now().active < count || census_now().blocks_free > 0)
        state_hold(STATE_BYTES);
    CHECK(census_now().full + census_now().active == count && census_now().partial == 0);
}

static void one_full_run(void)
{
    full_runs(1);
}

static void word_used_up(void)
{
    state_hold_many(STATE_BYTES, 64);
    CHECK(census_now().blocks_free > 0);
}

/* The header's run is full, another has a free block. */
static void a_partial_run(void)
{
    full_runs(3);
    state_release(held[0]);
    held[0] = held[--held_count];
    CHECK(census_now().partial == 1 && census_now().blocks_free == 1);
}

/* In small pieces, too: nothing is left. */
static void exhaust(void)
{
    for (size_t size = 64 * KIB; size >= 16; size /= 2) {
        for (void *block; (block = AO_malloc(size));) {
            CHECK(held_count < HELD_MAX);
            canary_write(block, size, size);
            held[held_count++] = block;
        }
    }
}

static void exhausted(void)
{
    exhaust();
    CHECK(!AO_malloc(STATE_BYTES));
}

/* All that is left is a run of another class, which a header holds although it is wholly free. */
static void only_a_free_active_run(void)
{
    void *block;

    state_hold(5000);
    exhaust();
    block = held[0];
    held[0] = held[--held_count];
    state_release(block);
}

static void two_blocks(void)
{
    one_block();
    subject = state_allocate(STATE_BYTES);
}

/* What is freed first in a full run that no header has. */
static void first_of_a_full_run(void)
{
    full_runs(2);
    subject = held[0];
    held[0] = held[--held_count];
}

static void of_a_partial_run(void)
{
    first_of_a_full_run();
    state_release(held[1]);
    held[1] = held[--held_count];
    CHECK(census_now().partial == 1);
}

static void last_of_a_run(void)
{
    struct aoma_census before;
    size_t of_run;

    one_full_run();
    of_run = held_count;
    full_runs(2);
    before = census_now();
    subject = held[0];
    for (size_t i = 1; i < of_run; i++)
        state_release(held[i]);
    for (size_t i = of_run; i < held_count; i++)
        held[i - of_run] = held[i];
    held_count -= of_run;
    CHECK(census_now().partial == 1 && census_now().chunks_taken == before.chunks_taken);
}

static void a_large_block(void)
{
    one_block();
    subject = state_allocate(STATE_LARGE_BYTES);
}

/* Without room behind it; where segments begin differs from process to process. */
static void a_large_block_without_room(void)
{
    size_t bytes = (STATE_LARGE_BYTES + AOMA_CHUNK_BYTES - 1) / AOMA_CHUNK_BYTES * AOMA_CHUNK_BYTES;

    do {
        state_hold(STATE_LARGE_BYTES);
        subject = held_count > 1 ? held[held_count - 2] : NULL;
    } while (!subject || (char *)held[held_count - 1] != (char *)subject + bytes);
    held[held_count - 2] = held[held_count - 1];
    held_count--;
}

static void a_large_block_with_room(void)
{
    a_large_block_without_room();
    state_release(held[--held_count]);
}

static void a_block_of_segments(void)
{
    one_block();
    subject = state_allocate(600 * KIB);
}

static void a_mapping(void)
{
    one_block();
    subject = state_allocate(3 * MIB);
}

/* No more is kept than is in use. */
static void a_kept_range(void)
{
    state_hold(4 * MIB);
    state_release(state_allocate(3 * MIB));
    CHECK(aoma_kept_bytes() > 0);
}

static void segments_used_up(void)
{
    AO_malloc_set_limit(0);
    exhaust();
    AO_malloc_set_limit(SIZE_MAX);
}

static void garbage(void)
{
    for (size_t i = 0; i < 200; i++)
        state_hold(3000);
    state_release_held();
    state_hold(STATE_BYTES);
}

static void used_block_then_freed(void)
{
    state_hold(STATE_BYTES);
    state_release(state_allocate(STATE_BYTES));
}

/* ---- the calls ---- */

#define STEPPED(expression)                                                                                            \
    do {                                                                                                               \
        step_on();                                                                                                     \
        expression;                                                                                                    \
        step_off();                                                                                                    \
        call_errno = errno;                                                                                            \
    } while (0)

void state_malloc(void)
{
    returned_bytes = STATE_BYTES;
    STEPPED(returned = AO_malloc(STATE_BYTES));
}

static void malloc_large(void)
{
    returned_bytes = STATE_LARGE_BYTES;
    STEPPED(returned = AO_malloc(STATE_LARGE_BYTES));
}

static void malloc_segments(void)
{
    returned_bytes = 600 * KIB;
    STEPPED(returned = AO_malloc(600 * KIB));
}

static void malloc_mapping(void)
{
    returned_bytes = 3 * MIB;
    STEPPED(returned = AO_malloc(3 * MIB));
}

static void malloc_segment_part(void)
{
    returned_bytes = 250 * KIB;
    STEPPED(returned = AO_malloc(250 * KIB));
}

static void free_nothing(void)
{
    STEPPED(AO_free(NULL));
}

void state_free(void)
{
    void *block = subject;

    subject = NULL;
    CHECK(canary_take(block));
    STEPPED(AO_free(block));
}

static void calloc_block(void)
{
    returned_bytes = STATE_BYTES;
    STEPPED(returned = AO_calloc(1, STATE_BYTES));
    for (size_t i = 0; returned && i < STATE_BYTES; i++)
        CHECK(((const unsigned char *)returned)[i] == 0);
}

static void calloc_mapping(void)
{
    returned_bytes = 3 * MIB;
    STEPPED(returned = AO_calloc(3, MIB));
    for (size_t i = 0; returned && i < returned_bytes; i += AOMA_CHUNK_BYTES)
        CHECK(((const unsigned char *)returned)[i] == 0);
}

/* What its content was depends on its old address: only a block that stays is whole. */
static void realloc_to(size_t size)
{
    void *block = subject;

    CHECK(canary_is_whole(block));
    returned_bytes = size;
    STEPPED(returned = AO_realloc(block, size));
    if (returned)
        subject = NULL;
}

static void realloc_to_small(void)
{
    realloc_to(STATE_BYTES);
}

static void realloc_a_little(void)
{
    realloc_to(STATE_BYTES + 5);
}

static void realloc_more(void)
{
    realloc_to(5 * (size_t)STATE_BYTES);
}

static void realloc_large(void)
{
    realloc_to(2 * (size_t)STATE_LARGE_BYTES);
}

static void realloc_mapping_more(void)
{
    realloc_to(5 * MIB);
}

static void realloc_mapping_less(void)
{
    realloc_to(2 * MIB);
}

static void aligned_block(void)
{
    returned_bytes = STATE_BYTES;
    STEPPED(returned = AO_aligned_alloc(256, STATE_BYTES));
    CHECK((uintptr_t)returned % 256 == 0);
}

static void aligned_large(void)
{
    returned_bytes = STATE_LARGE_BYTES;
    STEPPED(returned = AO_aligned_alloc(64 * KIB, STATE_LARGE_BYTES));
    CHECK((uintptr_t)returned % (64 * KIB) == 0);
}

static void usable_size(void)
{
    size_t size;

    STEPPED(size = AO_malloc_usable_size(subject));
    CHECK(size >= STATE_BYTES);
}

void state_trim(void)
{
    STEPPED(AO_malloc_trim());
}

static void enable_mmap(void)
{
    STEPPED(AO_malloc_enable_mmap());
}

static void set_limit(void)
{
    STEPPED(AO_malloc_set_limit(64 * MIB));
}

static void ask_mode(void)
{
    STEPPED((void)AO_malloc_mode());
}

static void add_region(void)
{
    STEPPED(region_result = AO_malloc_add_region(region, sizeof region));
    CHECK(region_result == 0);
}

const struct state states[] = {
    {"AO_malloc", "empty_heap", nothing, state_malloc, STATIC_HEAP, 0, 0},
    {"AO_malloc", "block_at_hand", one_block, state_malloc, STATIC_HEAP, 0, 0},
    {"AO_malloc", "word_used_up", word_used_up, state_malloc, STATIC_HEAP, 0, 0},
    {"AO_malloc", "run_used_up", one_full_run, state_malloc, STATIC_HEAP, 0, 0},
    {"AO_malloc", "partial_run", a_partial_run, state_malloc, STATIC_HEAP, 0, 0},
    {"AO_malloc", "exhausted", exhausted, state_malloc, STATIC_HEAP, 0, 0},
    {"AO_malloc", "reclaim", only_a_free_active_run, state_malloc, STATIC_HEAP, 0, 0},
    {"AO_malloc", "large", one_block, malloc_large, STATIC_HEAP, 0, 16},
    {"AO_malloc", "several_segments", one_block, malloc_segments, STATIC_HEAP, 0, 128},
    {"AO_malloc", "mapping", one_block, malloc_mapping, MMAP, 0, 0},
    {"AO_malloc", "kept_mapping", a_kept_range, malloc_mapping, MMAP, 0, 0},
    {"AO_malloc", "new_segment", segments_used_up, malloc_segment_part, MMAP, 0, 64},
    {"AO_free", "block_at_hand", two_blocks, state_free, STATIC_HEAP, 0, 0},
    {"AO_free", "first_of_a_full_run", first_of_a_full_run, state_free, STATIC_HEAP, 0, 0},
    {"AO_free", "of_a_partial_run", of_a_partial_run, state_free, STATIC_HEAP, 0, 0},
    {"AO_free", "last_of_a_run", last_of_a_run, state_free, STATIC_HEAP, 0, 0},
    {"AO_free", "large", a_large_block, state_free, STATIC_HEAP, 0, 16},
    {"AO_free", "several_segments", a_block_of_segments, state_free, STATIC_HEAP, 0, 128},
    {"AO_free", "mapping", a_mapping, state_free, MMAP, 0, 0},
    {"AO_free", "null", one_block, free_nothing, STATIC_HEAP, 0, 0},
    {"AO_calloc", "recycled", used_block_then_freed, calloc_block, STATIC_HEAP, 0, 0},
    {"AO_calloc", "mapping", one_block, calloc_mapping, MMAP, 0, 0},
    {"AO_realloc", "stays", two_blocks, realloc_a_little, STATIC_HEAP, 0, 0},
    {"AO_realloc", "moves", two_blocks, realloc_more, STATIC_HEAP, 0, 0},
    {"AO_realloc", "large_grows", a_large_block_with_room, realloc_large, STATIC_HEAP, 0, 32},
    {"AO_realloc", "large_copied", a_large_block_without_room, realloc_large, STATIC_HEAP, 0, 40},
    {"AO_realloc", "large_to_small", a_large_block, realloc_to_small, STATIC_HEAP, 0, 32},
    {"AO_realloc", "mapping_grows", a_mapping, realloc_mapping_more, MMAP, 0, 0},
    {"AO_realloc", "mapping_shrinks", a_mapping, realloc_mapping_less, MMAP, 0, 0},
    {"AO_aligned_alloc", "block", one_block, aligned_block, STATIC_HEAP, 0, 0},
    {"AO_aligned_alloc", "large", one_block, aligned_large, STATIC_HEAP, 0, 32},
    {"AO_malloc_usable_size", "block", two_blocks, usable_size, STATIC_HEAP, 0, 0},
    {"AO_malloc_trim", "garbage", garbage, state_trim, MMAP, 0, 64},
    {"AO_malloc_add_region", "region", one_block, add_region, STATIC_HEAP, 0, 128},
    {"AO_malloc_enable_mmap", "static_heap", one_block, enable_mmap, STATIC_HEAP, 0, 0},
    {"AO_malloc_set_limit", "mmap", one_block, set_limit, MMAP, 0, 0},
    {"AO_malloc_mode", "mmap", one_block, ask_mode, MMAP, 0, 0},
};
const size_t states_count = sizeof states / sizeof states[0];

/* ---- afterwards ---- */

static bool is_full(const struct state *state)
{
    return state->prepare == exhausted || state->prepare == only_a_free_active_run;
}

void state_end(const struct state *state)
{
    if (returned_bytes > 0 && !returned)
        CHECK((is_full(state) || state_memory_was_short) && call_errno == ENOMEM);
    if (returned) {
        CHECK(AO_malloc_usable_size(returned) >= returned_bytes);
        canary_write(returned, returned_bytes, 1);
        state_release(returned);
        returned = NULL;
    }
    state_release(subject);
    subject = NULL;
}

void state_make_room(const struct state *state)
{
    if (is_full(state))
        state_release_held();
}

/* A search may pass by what is free. */
static size_t hidden_chunks(void)
{
    struct aoma_census counted;

    AO_malloc_set_limit(0);
    exhaust();
    aoma_census_count(&counted);
    return counted.chunks_owned - counted.chunks_taken;
}

void state_assert_whole(void)
{
    struct aoma_census counted;

    state_release_held();
    AO_malloc_trim();
    counted = census_now();
    CHECK(counted.chunks_taken == counted.chunks_in_runs);
    CHECK(counted.blocks == counted.blocks_free);
    CHECK(counted.large == 0);
    CHECK(aoma_kept_use_bytes() == 0);
    CHECK(hidden_chunks() == 0);
}

/* Without the checks: who never came back may have been in the middle of something. */
struct state_missing state_missing(void)
{
    struct aoma_census counted;

    state_release_held();
    AO_malloc_trim();
    aoma_census_count(&counted);
    return (struct state_missing){
        counted.blocks - counted.blocks_free,
        counted.chunks_taken > counted.chunks_in_runs ? counted.chunks_taken - counted.chunks_in_runs : 0,
        hidden_chunks(),
    };
}

/* Of a run that is being made or taken apart. */
static size_t blocks_of_run(const struct state *state)
{
    unsigned class = aoma_class_of(STATE_BYTES);
    enum aoma_run_size size = state->needs == STATIC_HEAP ? AOMA_RUN_NORMAL : AOMA_RUN_ROOMY;

    return aoma_class_chunks(class, size) * AOMA_CHUNK_BYTES / aoma_class_bytes(class);
}

/* With the block that the call was about. Calls on a front that has been made make no run; they move batches. */
static size_t blocks_max(const struct state *state)
{
    if (state->missing_blocks)
        return state->missing_blocks;
    return 1 + (state->needs == FRONTS ? STATE_BATCH_BLOCKS : blocks_of_run(state));
}

static size_t chunks_max(const struct state *state)
{
    return state->missing_chunks ? state->missing_chunks : 4;
}

/* Those besides the first may have been making a run. */
void state_assert_missing(const struct state *state, const struct state_missing *missing, unsigned threads)
{
    size_t blocks = blocks_max(state) + (threads - 1) * (1 + blocks_of_run(state));
    size_t chunks = threads * chunks_max(state);

    if (missing->blocks <= blocks && missing->chunks + missing->hidden_chunks <= chunks)
        return;
    fprintf(stderr, "%zu blocks and %zu chunks are missing and %zu not found, more than %zu and %zu\n", missing->blocks,
            missing->chunks, missing->hidden_chunks, blocks, chunks);
    CHECK(false);
}
