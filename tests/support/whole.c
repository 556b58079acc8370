/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

#define _GNU_SOURCE
#include "whole.h"
#include "chain.h"
#include "child.h"
#include "test.h"

#include <aomalloc.h>

#include <sys/mman.h>

/* Two of them fill a chunk, so that each chunk that is missing counts. */
enum { BLOCK_BYTES = 4096 };

/* The heap grows by whole windows, and keeps them. */
#define WINDOW_BLOCKS (512 * KIB / BLOCK_BYTES)

static size_t *measured;

static size_t count_blocks(void)
{
    struct chain chain = {0};

    chain_exhaust(&chain, BLOCK_BYTES);
    size_t count = chain.count;
    chain_free(&chain);
    return count;
}

static void measure(void *argument)
{
    (void)argument;
    *measured = count_blocks();
}

void whole_measure(void)
{
    struct child_result result;

    measured = mmap(NULL, sizeof *measured, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(measured, MAP_FAILED);
    child_run(measure, NULL, CHILD_STDERR_SHARED, &result);
    child_assert_exited(&result);
    assert_true(*measured > 0);
}

void whole_assert(void)
{
    AO_malloc_set_limit(0);
    size_t count = count_blocks();
    if (count != *measured)
        fail_msg("%zu blocks of %d bytes, in a new process %zu", count, BLOCK_BYTES, *measured);
}

void whole_assert_with_windows(void)
{
    AO_malloc_set_limit(0);
    size_t count = count_blocks();
    if (count < *measured || (count - *measured) % WINDOW_BLOCKS != 0)
        fail_msg("%zu blocks of %d bytes, in a new process %zu; windows have %zu", count, BLOCK_BYTES, *measured,
                 WINDOW_BLOCKS);
}
