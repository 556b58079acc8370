/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * What every test program shares. A program consists of TEST(name) { ... } bodies only: each registers itself, main()
 * is in test.c, cmocka counts and reports. Every body runs in a forked child, because AO_malloc_enable_mmap(), regions
 * and exhaustion cannot be undone: each starts with the library as a new process finds it.
 *
 * cmocka's assert_*() may be used on the main thread. CHECK() works anywhere, in other threads and signal handlers too.
 */
#ifndef AOMALLOC_TEST_H
#define AOMALLOC_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#if defined(__SANITIZE_ADDRESS__)
#define TEST_SANITIZED_ADDRESS 1
#elif defined(__SANITIZE_THREAD__)
#define TEST_SANITIZED_THREAD 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TEST_SANITIZED_ADDRESS 1
#elif __has_feature(thread_sanitizer)
#define TEST_SANITIZED_THREAD 1
#endif
#endif
#ifndef TEST_SANITIZED_ADDRESS
#define TEST_SANITIZED_ADDRESS 0
#endif
#ifndef TEST_SANITIZED_THREAD
#define TEST_SANITIZED_THREAD 0
#endif
#define TEST_SANITIZED (TEST_SANITIZED_ADDRESS || TEST_SANITIZED_THREAD)

/* Tests and library are built alike. */
#ifdef __OPTIMIZE__
#define TEST_OPTIMIZED 1
#else
#define TEST_OPTIMIZED 0
#endif

#define TEST_STRING_(text) #text
#define TEST_STRING(macro) TEST_STRING_(macro)

/* No address space has room for 1 << IMPOSSIBLE_BIT bytes. */
#define SIZE_BITS (8 * sizeof(size_t))
#define IMPOSSIBLE_BIT (SIZE_BITS == 64 ? 48 : 31)

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)

/* The static heap of the library under test, from the build. */
#define TEST_HEAP_BYTES (TEST_HEAP_KIB * KIB)

/* A value that no function sets errno to. */
#define ERRNO_SENTINEL 7777

/* Exit status that meson takes as "skipped". */
#define TEST_SKIPPED 77

struct test_case {
    const char *name;
    void (*run)(void);
    struct test_case *next;
};

#define TEST(test_name)                                                                                                \
    static void test_name(void);                                                                                       \
    __attribute__((constructor)) static void test_name##_register(void)                                                \
    {                                                                                                                  \
        static struct test_case test = {.name = #test_name, .run = (test_name)};                                       \
        test_register(&test);                                                                                          \
    }                                                                                                                  \
    static void test_name(void)

#define CHECK(condition) ((condition) ? (void)0 : test_fail(__FILE__, __LINE__, #condition))

void test_register(struct test_case *test);

/* Prints where and what, and ends the process. AS-safe. */
_Noreturn void test_fail(const char *file, int line, const char *condition);

/* Ends the test as skipped, for a stated reason. */
_Noreturn void test_skip(const char *reason);

/* Where the build option `checks` is none, and wrong pointers are not looked for. */
void test_skip_where_pointers_are_believed(void);

/* From AOMALLOC_TEST_SEED, else a new one for each run; printed when the program starts. */
uint64_t test_seed(void);

/* How long each stress test goes on: AOMALLOC_TEST_SECONDS, half a second by default. */
double test_seconds(void);

/* AOMALLOC_TEST_LONG=1: the full counts instead of the short ones. */
bool test_long(void);

/* Of a number of repetitions, AOMALLOC_TEST_PERCENT (100); at least one. */
size_t test_times(size_t times);

/*
 * A sanitizer or (AOMALLOC_TEST_INSTRUMENTED=1) valgrind: slow, and what the process maps is not the library's doing.
 */
bool test_instrumented(void);

/* Ends the test as skipped under valgrind, which (3.19) takes memory that mremap() made longer in place for lost. */
void test_require_mremap(void);

/* Of a clock that does not go back. */
uint64_t test_now_ns(void);

/* A moment test_seconds() from now, and whether a moment has passed. */
uint64_t test_deadline_ns(void);
bool test_passed(uint64_t deadline_ns);

/* Hides a value from the compiler, which otherwise warns of sizes and pointers that are wrong on purpose. */
static inline size_t opaque_size(size_t size)
{
    __asm__("" : "+r"(size));
    return size;
}

static inline void *opaque_pointer(const void *pointer)
{
    void *result = (void *)(uintptr_t)pointer;
    __asm__("" : "+r"(result));
    return result;
}

#endif /* AOMALLOC_TEST_H */
