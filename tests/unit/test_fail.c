/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

#include "unit.h"
#include "child.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

/* As long as a line may get, with its newline. */
enum { LINE_BYTES = 160 };

struct misuse {
    const char *function;
    const void *pointer;
    const char *fault;
};

static void run_fail(void *argument)
{
    const struct misuse *misuse = argument;
    aoma_fail(misuse->function, misuse->pointer, misuse->fault);
}

static void run_fail_invariant(void *argument)
{
    aoma_fail_invariant(argument);
}

TEST(message_names_function_pointer_and_fault)
{
    struct misuse misuse = {"AO_free", (void *)0x1234abcd, "not a block"};
    assert_aborts(run_fail, &misuse, "aomalloc: AO_free(0x1234abcd): not a block");
}

TEST(every_pointer_is_written_in_full)
{
    static const uintptr_t pointers[] = {0, 1, 0xf, 0x10, UINTPTR_MAX / 2, UINTPTR_MAX / 2 + 1, UINTPTR_MAX};

    for (size_t i = 0; i < sizeof pointers / sizeof pointers[0]; i++) {
        struct misuse misuse = {"f", (void *)pointers[i], "x"};
        char line[80];
        snprintf(line, sizeof line, "aomalloc: f(0x%" PRIxPTR "): x", pointers[i]);
        assert_aborts(run_fail, &misuse, line);
    }
}

TEST(internal_error_is_named)
{
    assert_aborts(run_fail_invariant, (void *)(uintptr_t) "a < b", "aomalloc: internal error: a < b");
}

/* The line is built on the stack. */
TEST(long_texts_are_cut)
{
    char fault[400];
    char line[500];
    struct misuse misuse = {"AO_free", (void *)0x10, fault};

    memset(fault, 'y', sizeof fault - 1);
    fault[sizeof fault - 1] = 0;
    snprintf(line, sizeof line, "aomalloc: AO_free(0x10): %s", fault);
    line[LINE_BYTES - 1] = 0;
    assert_aborts(run_fail, &misuse, line);

    snprintf(line, sizeof line, "aomalloc: internal error: %s", fault);
    line[LINE_BYTES - 1] = 0;
    assert_aborts(run_fail_invariant, fault, line);

    misuse = (struct misuse){fault, (void *)0x10, "fault"};
    assert_aborts(run_fail, &misuse, NULL);
}

/* Every length around the limit: one line, never cut short by more than needed. */
TEST(each_length_near_the_limit_is_one_line)
{
    static const char prefix[] = "aomalloc: internal error: ";
    char what[LINE_BYTES + 8];
    char line[sizeof prefix + sizeof what];

    for (size_t length = LINE_BYTES - sizeof prefix - 4; length < LINE_BYTES - sizeof prefix + 6; length++) {
        memset(what, 'z', length);
        what[length] = 0;
        snprintf(line, sizeof line, "%s%s", prefix, what);
        line[LINE_BYTES - 1] = 0;
        assert_aborts(run_fail_invariant, what, line);
    }
}

static void close_and_fail(void *argument)
{
    fclose(stderr);
    run_fail_invariant(argument);
}

TEST(ends_also_when_nothing_can_be_written)
{
    struct child_result result;

    child_run(close_and_fail, (void *)(uintptr_t) "text", CHILD_STDERR_SHARED, &result);
    assert_true(WIFSIGNALED(result.status) && WTERMSIG(result.status) == SIGABRT);
}
