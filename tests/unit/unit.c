/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

#define _GNU_SOURCE
#include "unit.h"
#include "child.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

void assert_aborts(void (*run)(void *), void *argument, const char *line)
{
    struct child_result result;

    child_run(run, argument, CHILD_STDERR_CAPTURED, &result);
    if (!WIFSIGNALED(result.status) || WTERMSIG(result.status) != SIGABRT)
        fail_msg("wait status 0x%x instead of SIGABRT, having written \"%s\"", (unsigned)result.status, result.output);
    if (result.length == 0 || strchr(result.output, '\n') != result.output + result.length - 1)
        fail_msg("not exactly one line: \"%s\"", result.output);
    result.output[result.length - 1] = 0;
    if (line)
        assert_string_equal(result.output, line);
}

/* ---- memory of a known shape ---- */

void hold_segment(struct aoma_segment *segment)
{
    for (unsigned i = 0; i < AOMA_SEGMENT_CHUNKS; i++)
        (void)aoma_segment_take_at(segment, i, 1);
}

void hold_all_chunks(void)
{
    bool clean;

    while (aoma_segment_take(1, 1, &clean))
        ;
}

void use_up_static_heap(void)
{
    aoma_segment_install_static();
    hold_all_chunks();
}

struct aoma_segment *add_group(void)
{
    aoma_segment_install_static();
    uint32_t number = aoma_segment_numbers();
    aoma_source_enable_mmap();
    CHECK(aoma_segment_grow());
    struct aoma_segment *segment = aoma_segment_by_number(number);
    CHECK(segment && aoma_segment_numbers() == number + AOMA_GROUP_SEGMENTS);
    return segment;
}

struct aoma_segment *only_group(void)
{
    use_up_static_heap();
    return add_group();
}

uintptr_t find_free_area(size_t bytes)
{
    size_t mapped = bytes + AOMA_GROUP_BYTES + AOMA_SEGMENT_BYTES;
    void *mem = mmap(NULL, mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    CHECK(mem != MAP_FAILED);
    munmap(mem, mapped);
    return ((uintptr_t)mem + AOMA_GROUP_BYTES - 1) & ~(uintptr_t)(AOMA_GROUP_BYTES - 1);
}

uintptr_t map_area(size_t bytes)
{
    uintptr_t area = find_free_area(bytes);

    CHECK(mmap((void *)area, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) ==
          (void *)area);
    return area;
}

bool is_zero(uintptr_t mem, size_t bytes)
{
    const unsigned char *first = (const unsigned char *)mem;

    return bytes == 0 || (first[0] == 0 && memcmp(first, first + 1, bytes - 1) == 0);
}

/* The most consecutive bits that are set, found the slow way. */
static unsigned longest_range(uint64_t bits)
{
    unsigned length = 0, longest = 0;

    for (; bits; bits >>= 1) {
        length = bits & 1 ? length + 1 : 0;
        longest = length > longest ? length : longest;
    }
    return longest;
}

static void check_index_of(const struct aoma_segment *segment)
{
    unsigned longest = longest_range(aoma_segment_free_chunks(segment));
    uint32_t number = segment->number;

    for (unsigned order = 0; order < AOMA_FREE_ORDERS && longest >= 1u << order; order++)
        CHECK(aoma_index_next(AOMA_KEY_FREE(order), number, number + 1) == number);
    for (unsigned class = 0; class < AOMA_CLASSES; class ++) {
        if (aoma_load_acquire(&segment->partial[class]))
            CHECK(aoma_index_next(AOMA_KEY_PARTIAL(class), number, number + 1) == number);
    }
}

void check_index(void)
{
    for (uint32_t number = 0; number < aoma_segment_numbers(); number++) {
        const struct aoma_segment *segment = aoma_segment_by_number(number);
        if (segment)
            check_index_of(segment);
    }
}

struct aoma_census checked_census(size_t held)
{
    struct aoma_census census;

    aoma_census_take(&census);
    CHECK(census.chunks_taken == census.chunks_in_runs + held);
    check_index();
    return census;
}

size_t chunks_held(void)
{
    struct aoma_census census;

    aoma_census_take(&census);
    CHECK(census.chunks_taken >= census.chunks_in_runs);
    return census.chunks_taken - census.chunks_in_runs;
}

/* ---- runs and blocks ---- */

size_t free_blocks_of(const struct aoma_run *run)
{
    size_t count = 0;

    for (unsigned i = 0; i < count_of(run); i++)
        count += !aoma_run_in_use(run, i);
    return count;
}

/* The slow way, which needs nothing but the run that begins at each chunk. */
struct aoma_run *run_of(const void *block)
{
    struct aoma_segment *segment = aoma_entry_segment(aoma_page_map_get((uintptr_t)block));

    CHECK(segment);
    for (unsigned i = ((uintptr_t)block >> AOMA_CHUNK_SHIFT) % AOMA_SEGMENT_CHUNKS + 1; i-- > 0;) {
        if (run_holds(&segment->run[i], (uintptr_t)block))
            return &segment->run[i];
    }
    test_fail(__FILE__, __LINE__, "a run holds the block");
}

void give(void *block)
{
    struct aoma_run *run = run_of(block);
    unsigned index;

    CHECK(run_finds(run, (uintptr_t)block, &index));
    give_to(run, index, block);
}

unsigned take_blocks(struct aoma_run *run, unsigned class, void **blocks, unsigned max)
{
    unsigned count = 0;

    while (count < max && (blocks[count] = take_any(run, class)) != NULL)
        count++;
    return count;
}

void check_run(const struct aoma_run *run, enum aoma_run_state state, unsigned class, unsigned count)
{
    CHECK(state_of(run) == state);
    CHECK(aoma_state_class(state_word(run)) == class);
    CHECK(count_of(run) == count);
    if (class < AOMA_CLASSES && state != AOMA_RUN_EMPTY)
        CHECK(has_partial_bit(run, class) == (state == AOMA_RUN_PARTIAL));
}
