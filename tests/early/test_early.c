/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * AO_malloc in the earliest code that a program can run: an ifunc resolver, which runs while the program is being
 * relocated, a .preinit_array function, and the first constructor. What they allocated must be intact in main().
 * TEST_HAS_IFUNC and TEST_HAS_PREINIT say which of these the C library runs.
 */

#include <aomalloc.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 100, BIGGER_BYTES = 1000, TOO_MUCH_IN_KIB = TEST_HEAP_KIB + 1 };

struct early {
    const char *when;
    unsigned char *block;
    int fill;
};

static struct early in_resolver = {"an ifunc resolver", NULL, 0x11};
static struct early in_preinit = {".preinit_array", NULL, 0x22};
static struct early in_constructor = {"the first constructor", NULL, 0x33};

/* Neither libc's functions nor thread-local data may be used yet. */
static void allocate(struct early *early)
{
    AO_free(AO_malloc(BIGGER_BYTES));
    early->block = AO_realloc(AO_calloc(1, BLOCK_BYTES / 3), BLOCK_BYTES);
    if (!early->block)
        return;
    for (volatile unsigned char *at = early->block; at < early->block + BLOCK_BYTES; at++)
        *at = (unsigned char)early->fill;
}

#if TEST_HAS_IFUNC
static int answer(void)
{
    return 42;
}

typedef int answer_function(void);

__attribute__((used)) static answer_function *resolve_answer(void)
{
    allocate(&in_resolver);
    return answer;
}

int resolved_answer(void) __attribute__((ifunc("resolve_answer")));
#else
static int resolved_answer(void)
{
    return 42;
}
#endif

static void preinit(void)
{
    allocate(&in_preinit);
}

__attribute__((section(".preinit_array"), used)) static void (*const preinit_entry)(void) = preinit;

__attribute__((constructor(101))) static void construct(void)
{
    allocate(&in_constructor);
}

static int check(const struct early *early, bool is_run)
{
    if (!is_run) {
        printf("skipped: the C library does not run %s\n", early->when);
        return 0;
    }
    if (!early->block) {
        printf("not ok: AO_malloc in %s\n", early->when);
        return 1;
    }
    for (int i = 0; i < BLOCK_BYTES; i++)
        if (early->block[i] != early->fill) {
            printf("not ok: byte %d of the block from %s\n", i, early->when);
            return 1;
        }
    printf("ok: AO_malloc in %s\n", early->when);
    AO_free(early->block);
    return 0;
}

int main(void)
{
    if (resolved_answer() != 42)
        return EXIT_FAILURE;
    int failures =
        check(&in_resolver, TEST_HAS_IFUNC) + check(&in_preinit, TEST_HAS_PREINIT) + check(&in_constructor, true);
    void *later = AO_calloc(1, BLOCK_BYTES);
    if (!later || AO_malloc((size_t)TOO_MUCH_IN_KIB * 1024) != NULL)
        failures++;
    AO_free(later);
    return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
