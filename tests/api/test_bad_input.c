/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Wrong pointers. Each case runs in a child that must die of SIGABRT and of nothing else, after exactly one line on
 * file descriptor 2 that names the function, the pointer and the fault.
 */

#define _GNU_SOURCE
#include "chain.h"
#include "child.h"
#include "test.h"

#include <aomalloc.h>

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

struct misuse {
    const char *function;   /* that finds it */
    void *(*prepare)(void); /* gives the wrong pointer */
    void (*call)(void *);   /* hands it in */
    void **pointer;         /* where the child leaves what it handed in: shared memory */
};

static void run_misuse(void *argument)
{
    const struct misuse *misuse = argument;
    void *pointer = opaque_pointer(misuse->prepare());
    *misuse->pointer = pointer;
    misuse->call(pointer);
}

static bool names_a_fault(const char *text)
{
    static const char *const words[] = {"free", "block", "inside", "aligned", "twice", "heap", "handed", "never"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strstr(text, words[i]))
            return true;
    return false;
}

static void assert_one_line(const struct child_result *result, const char *function, const void *pointer)
{
    char call[128];
    const char *end = strchr(result->output, '\n');

    snprintf(call, sizeof call, "%s(0x%" PRIxPTR "): ", function, (uintptr_t)pointer);
    const char *found = strstr(result->output, call);
    if (!found)
        fail_msg("\"%s\" is not in \"%s\"", call, result->output);
    if (!end || end != result->output + result->length - 1)
        fail_msg("not exactly one line: \"%s\"", result->output);
    if (found && !names_a_fault(found + strlen(call)))
        fail_msg("no fault is named: \"%s\"", result->output);
}

static void assert_dies(const struct misuse *misuse)
{
    struct child_result result;

    child_run(run_misuse, (void *)(uintptr_t)misuse, CHILD_STDERR_CAPTURED, &result);
    if (!WIFSIGNALED(result.status) || WTERMSIG(result.status) != SIGABRT)
        fail_msg("%s(%p): wait status 0x%x instead of SIGABRT, having written \"%s\"", misuse->function,
                 *misuse->pointer, (unsigned)result.status, result.output);
    assert_one_line(&result, misuse->function, *misuse->pointer);
}

static void call_free(void *pointer)
{
    AO_free(pointer);
}

static void call_realloc(void *pointer)
{
    void *block = AO_realloc(pointer, 100);
    printf("%p\n", block);
}

static void call_usable_size(void *pointer)
{
    printf("%zu\n", AO_malloc_usable_size(pointer));
}

/* In every call that takes a block, before and after mmap is enabled. */
static void assert_refused_everywhere(void *(*prepare)(void))
{
    void **pointer = mmap(NULL, sizeof *pointer, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    const struct misuse calls[] = {
        {"AO_free", prepare, call_free, pointer},
        {"AO_realloc", prepare, call_realloc, pointer},
        {"AO_malloc_usable_size", prepare, call_usable_size, pointer},
    };

    assert_ptr_not_equal(pointer, MAP_FAILED);
    for (unsigned with_mmap = 0; with_mmap < 2; with_mmap++) {
        for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
            assert_dies(&calls[i]);
        AO_malloc_enable_mmap();
    }
}

static void *allocate(size_t size)
{
    unsigned char *block = AO_malloc(size);
    CHECK(block != NULL);
    memset(block, 0x11, size);
    return block;
}

/* Pointers that have nothing to do with the heap. */

static void *stack_address(void)
{
    char array[64] = {1};
    return opaque_pointer(array + 16 - (uintptr_t)array % 16);
}

TEST(stack_address_is_refused)
{
    assert_refused_everywhere(stack_address);
}

static void *global_address(void)
{
    static _Alignas(64) char array[256];
    return array;
}

TEST(global_address_is_refused)
{
    assert_refused_everywhere(global_address);
}

static void *address_of_code(void)
{
    return (void *)((uintptr_t)address_of_code & ~(uintptr_t)15);
}

TEST(address_of_code_is_refused)
{
    assert_refused_everywhere(address_of_code);
}

static void *libc_block(void)
{
    return malloc(100);
}

TEST(block_of_libc_is_refused)
{
    assert_refused_everywhere(libc_block);
}

static void *foreign_mapping(void)
{
    return mmap(NULL, 8 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

TEST(foreign_mapping_is_refused)
{
    assert_refused_everywhere(foreign_mapping);
}

static void *small_number(void)
{
    return (void *)16;
}

static void *last_address(void)
{
    return (void *)(UINTPTR_MAX - 15);
}

static void *kernel_address(void)
{
    return (void *)((uintptr_t)1 << (SIZE_BITS - 1));
}

static void *non_canonical_address(void)
{
    return (void *)((uintptr_t)0x1234 << (SIZE_BITS - 16) ^ (uintptr_t)allocate(64));
}

TEST(impossible_addresses_are_refused)
{
    assert_refused_everywhere(small_number);
    assert_refused_everywhere(last_address);
    assert_refused_everywhere(kernel_address);
    assert_refused_everywhere(non_canonical_address);
}

/* Pointers into the heap. */

static void *middle_of_block(void)
{
    return (char *)allocate(1000) + 512;
}

TEST(middle_of_a_block_is_refused)
{
    test_skip_where_pointers_are_believed();
    assert_refused_everywhere(middle_of_block);
}

static void *one_byte_on(void)
{
    return (char *)allocate(100) + 1;
}

static void *eight_bytes_on(void)
{
    return (char *)allocate(16) + 8;
}

TEST(misaligned_pointer_is_refused)
{
    test_skip_where_pointers_are_believed();
    assert_refused_everywhere(one_byte_on);
    assert_refused_everywhere(eight_bytes_on);
}

static void *block_ahead(void)
{
    char *block = allocate(64);
    return block + 5 * AO_malloc_usable_size(block);
}

TEST(block_never_handed_out_is_refused)
{
    test_skip_where_pointers_are_believed();
    assert_refused_everywhere(block_ahead);
}

/* Of a heap that served nothing yet, all is free. */
static void *page_of_an_unused_heap(void)
{
    uintptr_t block = (uintptr_t)allocate(64);
    return (void *)((block & ~(8 * KIB - 1)) + 320 * KIB);
}

TEST(unused_part_of_the_heap_is_refused)
{
    if (TEST_HEAP_BYTES < 512 * KIB)
        test_skip("the static heap is smaller than the distance used");
    assert_refused_everywhere(page_of_an_unused_heap);
}

static void *middle_of_large_block(void)
{
    return (char *)allocate(200 * KIB < TEST_HEAP_BYTES / 4 ? 200 * KIB : TEST_HEAP_BYTES / 4) + 16 * KIB;
}

static void *a_bit_into_large_block(void)
{
    return (char *)allocate(200 * KIB < TEST_HEAP_BYTES / 4 ? 200 * KIB : TEST_HEAP_BYTES / 4) + 16;
}

TEST(interior_of_a_large_block_is_refused)
{
    assert_refused_everywhere(middle_of_large_block);
    assert_refused_everywhere(a_bit_into_large_block);
}

static void *middle_of_mapping(void)
{
    AO_malloc_enable_mmap();
    return (char *)allocate(5 * MIB) + 3 * MIB;
}

static void *a_bit_into_mapping(void)
{
    AO_malloc_enable_mmap();
    return (char *)allocate(5 * MIB) + 16;
}

TEST(interior_of_a_mapping_is_refused)
{
    assert_refused_everywhere(middle_of_mapping);
    assert_refused_everywhere(a_bit_into_mapping);
}

/* Blocks that were freed before. */

static void *freed(size_t size)
{
    void *block = allocate(size);
    AO_free(block);
    return block;
}

static void *freed_smallest(void)
{
    return freed(16);
}

static void *freed_small(void)
{
    return freed(100);
}

static void *freed_middle(void)
{
    return freed(5000);
}

TEST(double_free_is_refused)
{
    test_skip_where_pointers_are_believed();
    assert_refused_everywhere(freed_smallest);
    assert_refused_everywhere(freed_small);
    assert_refused_everywhere(freed_middle);
}

/* The run stays in use by others. */
static void *freed_among_others(void)
{
    struct chain chain = {0};
    void *block = allocate(100);
    for (unsigned i = 0; i < 20; i++)
        CHECK(chain_add(&chain, 100));
    AO_free(block);
    return block;
}

static void *freed_before_others(void)
{
    void *blocks[4];
    for (unsigned i = 0; i < 4; i++)
        blocks[i] = allocate(100);
    for (unsigned i = 0; i < 3; i++)
        AO_free(blocks[i]);
    return blocks[0];
}

static void *freed_between_others(void)
{
    void *blocks[4];
    for (unsigned i = 0; i < 4; i++)
        blocks[i] = allocate(100);
    for (unsigned i = 0; i < 3; i++)
        AO_free(blocks[i]);
    return blocks[1];
}

/* Calls of other sizes in between do not hide it. */
static void *freed_before_other_sizes(void)
{
    void *kept = allocate(100);
    void *block = freed(100);
    for (size_t size = 200; size < 4000; size += 100)
        AO_free(allocate(size));
    AO_free(kept);
    return block;
}

/* The whole run went back: nothing is known of the block any more. */
static void *freed_with_its_run(void)
{
    struct chain chain = {0};
    while (chain.bytes < TEST_HEAP_BYTES / 2)
        CHECK(chain_add(&chain, 1000));
    void *last = chain.first;
    chain_free(&chain);
    return last;
}

TEST(double_free_after_other_calls_is_refused)
{
    test_skip_where_pointers_are_believed();
    assert_refused_everywhere(freed_among_others);
    assert_refused_everywhere(freed_before_others);
    assert_refused_everywhere(freed_between_others);
    assert_refused_everywhere(freed_before_other_sizes);
    assert_refused_everywhere(freed_with_its_run);
}

static void *free_in_thread(void *block)
{
    AO_free(block);
    return NULL;
}

static void *freed_by_thread(void)
{
    pthread_t thread;
    void *block = allocate(100);
    CHECK(pthread_create(&thread, NULL, free_in_thread, block) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    return block;
}

TEST(double_free_across_threads_is_refused)
{
    test_skip_where_pointers_are_believed();
    assert_refused_everywhere(freed_by_thread);
}

/* What a program does after the line is written: a handler of SIGABRT may allocate, and finds the heap as it was. */

enum { BLOCKS_BESIDE = 8, BLOCKS_AFTER = 200, BYTES_BESIDE = 200 };

static unsigned char *beside[BLOCKS_BESIDE];

static void allocate_and_compare(int number)
{
    (void)number;
    for (unsigned i = 0; i < BLOCKS_AFTER; i++)
        memset(AO_malloc(BYTES_BESIDE), 0xee, BYTES_BESIDE);
    for (unsigned i = 0; i < BLOCKS_BESIDE; i++)
        for (unsigned at = 0; at < BYTES_BESIDE; at++)
            if (i != 1 && beside[i][at] != 0x11)
                _exit(EXIT_FAILURE);
    _exit(EXIT_SUCCESS);
}

static void free_twice(void *unused)
{
    (void)unused;
    for (unsigned i = 0; i < BLOCKS_BESIDE; i++)
        beside[i] = allocate(BYTES_BESIDE);
    signal(SIGABRT, allocate_and_compare);
    AO_free(beside[1]);
    AO_free(beside[1]);
}

TEST(double_free_leaves_the_heap_to_a_handler_of_sigabrt)
{
    struct child_result result;

    child_run(free_twice, NULL, CHILD_STDERR_CAPTURED, &result);
    if (!WIFEXITED(result.status) || WEXITSTATUS(result.status) != EXIT_SUCCESS)
        fail_msg("wait status 0x%x, having written \"%s\"", (unsigned)result.status, result.output);
}

static void *freed_large(void)
{
    return freed(TEST_HEAP_BYTES / 8);
}

static void *freed_large_among_others(void)
{
    void *block = allocate(TEST_HEAP_BYTES / 8);
    void *other = allocate(TEST_HEAP_BYTES / 8);
    AO_free(block);
    CHECK(other != NULL);
    return block;
}

TEST(double_free_of_a_large_block_is_refused)
{
    assert_refused_everywhere(freed_large);
    assert_refused_everywhere(freed_large_among_others);
}

static void *freed_mapping(void)
{
    AO_malloc_enable_mmap();
    return freed(5 * MIB);
}

TEST(double_free_of_a_mapping_is_refused)
{
    assert_refused_everywhere(freed_mapping);
}

static void *moved_by_realloc(void)
{
    void *block = allocate(100);
    void *moved = AO_realloc(block, 5000);
    CHECK(moved && moved != block);
    return block;
}

TEST(block_that_realloc_moved_is_refused)
{
    test_skip_where_pointers_are_believed();
    assert_refused_everywhere(moved_by_realloc);
}

static void *region_not_added(void)
{
    static _Alignas(8192) char region[65536];
    CHECK(AO_malloc_add_region(region, sizeof region / 2) == 0);
    return region + sizeof region / 2 + 64;
}

TEST(memory_beside_a_region_is_refused)
{
    assert_refused_everywhere(region_not_added);
}
