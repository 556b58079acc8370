/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

#define _GNU_SOURCE
#include "test.h"
#include "child.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S UINT64_C(1000000000)

enum { TESTS_MAX = 64 };

static struct test_case *first_test;
static struct test_case **last_link = &first_test;
static uint64_t seed;
static unsigned skipped, ran;

void test_register(struct test_case *test)
{
    *last_link = test;
    last_link = &test->next;
}

static void write_text(const char *text)
{
    ssize_t written = write(2, text, strlen(text));
    (void)written;
}

static void write_number(unsigned number)
{
    char digits[12];
    size_t at = sizeof digits;
    digits[--at] = 0;
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    write_text(digits + at);
}

void test_fail(const char *file, int line, const char *condition)
{
    write_text(file);
    write_text(":");
    write_number((unsigned)line);
    write_text(": check failed: ");
    write_text(condition);
    write_text("\n");
    _exit(EXIT_FAILURE);
}

void test_skip(const char *reason)
{
    write_text("skipped: ");
    write_text(reason);
    write_text("\n");
    _exit(TEST_SKIPPED);
}

void test_skip_where_pointers_are_believed(void)
{
    if (TEST_CHECKS < 0)
        test_skip("checks=none: pointers are believed");
}

uint64_t test_seed(void)
{
    return seed;
}

static bool environment_says(const char *name)
{
    const char *value = getenv(name);
    return value && strcmp(value, "") != 0 && strcmp(value, "0") != 0;
}

double test_seconds(void)
{
    const char *value = getenv("AOMALLOC_TEST_SECONDS");
    return value ? atof(value) : 0.5;
}

bool test_long(void)
{
    return environment_says("AOMALLOC_TEST_LONG");
}

size_t test_times(size_t times)
{
    const char *percent = getenv("AOMALLOC_TEST_PERCENT");
    size_t wanted = percent ? times * strtoul(percent, NULL, 10) / 100 : times;

    return wanted > 0 ? wanted : 1;
}

bool test_instrumented(void)
{
    return TEST_SANITIZED || environment_says("AOMALLOC_TEST_INSTRUMENTED");
}

void test_require_mremap(void)
{
    if (test_instrumented() && !TEST_SANITIZED)
        test_skip("valgrind does not follow mremap");
}

uint64_t test_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

uint64_t test_deadline_ns(void)
{
    return test_now_ns() + (uint64_t)(test_seconds() * (double)NS_PER_S);
}

bool test_passed(uint64_t deadline_ns)
{
    return test_now_ns() >= deadline_ns;
}

static void choose_seed(void)
{
    const char *value = getenv("AOMALLOC_TEST_SEED");
    if (value)
        seed = strtoull(value, NULL, 0);
    else if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
        seed = test_now_ns();
    printf("AOMALLOC_TEST_SEED=0x%" PRIx64 "\n", seed);
}

static void run_registered(void *argument)
{
    const struct test_case *test = argument;
    test->run();
}

static void run_in_child(void **state)
{
    struct child_result result;
    child_run(run_registered, *state, CHILD_STDERR_SHARED, &result);
    ran++;
    if (WIFEXITED(result.status) && WEXITSTATUS(result.status) == TEST_SKIPPED) {
        skipped++;
        skip();
    }
    child_assert_exited(&result);
}

/* The names of tests may be given as arguments, to run only these. */
static bool is_chosen(const struct test_case *test, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], test->name) == 0)
            return true;
    return argc == 1;
}

static bool is_test(const char *name)
{
    for (const struct test_case *test = first_test; test; test = test->next)
        if (strcmp(name, test->name) == 0)
            return true;
    return false;
}

static void require_names_of_tests(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (is_test(argv[i]))
            continue;
        fprintf(stderr, "%s: no such test; there are:\n", argv[i]);
        for (const struct test_case *test = first_test; test; test = test->next)
            fprintf(stderr, "  %s\n", test->name);
        exit(EXIT_FAILURE);
    }
}

int main(int argc, char **argv)
{
    struct CMUnitTest tests[TESTS_MAX];
    size_t count = 0;

    require_names_of_tests(argc, argv);
    for (struct test_case *test = first_test; test; test = test->next) {
        if (!is_chosen(test, argc, argv))
            continue;
        CHECK(count < TESTS_MAX);
        tests[count++] = (struct CMUnitTest){.name = test->name, .test_func = run_in_child, .initial_state = test};
    }
    choose_seed();
    int failed = _cmocka_run_group_tests(argv[0], tests, count, NULL, NULL);
    if (failed)
        return EXIT_FAILURE;
    return skipped == ran ? TEST_SKIPPED : EXIT_SUCCESS;
}
