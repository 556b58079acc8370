/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * malloc in the earliest code that a program can run: an ifunc resolver, which runs while the program is being
 * relocated, .preinit_array, the first constructor; and in the last: a destructor. What they allocated must be intact
 * in main(), and of the preloaded heap. More than the static heap is asked for at once. No cmocka: nothing of it may
 * run before. TEST_HAS_IFUNC and TEST_HAS_PREINIT: as in tests/early.
 */

#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { BLOCK_BYTES = 100, BIGGER_BYTES = 1000, TOO_MUCH_BYTES = (TEST_HEAP_KIB + 1) * 1024 };

struct early {
    const char *when;
    unsigned char *block;
    unsigned char *large;
    int fill;
};

static struct early in_resolver = {"an ifunc resolver", NULL, NULL, 0x11};
static struct early in_preinit = {".preinit_array", NULL, NULL, 0x22};
static struct early in_constructor = {"the first constructor", NULL, NULL, 0x33};

/* Neither libc's other functions nor thread-local data may be used yet. */
static void allocate(struct early *early)
{
    free(malloc(BIGGER_BYTES));
    early->block = realloc(calloc(1, BLOCK_BYTES / 3), BLOCK_BYTES);
    early->large = malloc(TOO_MUCH_BYTES);
    if (!early->block || !early->large)
        return;
    for (volatile unsigned char *at = early->block; at < early->block + BLOCK_BYTES; at++)
        *at = (unsigned char)early->fill;
    early->large[TOO_MUCH_BYTES - 1] = (unsigned char)early->fill;
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

__attribute__((destructor(101))) static void destruct(void)
{
    void *block = malloc(BIGGER_BYTES);

    if (!block)
        _exit(EXIT_FAILURE);
    free(block);
    free(in_constructor.block);
}

typedef size_t usable_size_function(const void *);

static int check(const struct early *early, bool is_run, usable_size_function *usable_size)
{
    if (!is_run) {
        printf("skipped: the C library does not run %s\n", early->when);
        return 0;
    }
    if (!early->block || !early->large) {
        printf("not ok: malloc in %s\n", early->when);
        return 1;
    }
    for (int i = 0; i < BLOCK_BYTES; i++)
        if (early->block[i] != early->fill) {
            printf("not ok: byte %d of the block from %s\n", i, early->when);
            return 1;
        }
    /* Aborts if the block is of another heap. */
    if (usable_size(early->block) < BLOCK_BYTES || usable_size(early->large) < TOO_MUCH_BYTES ||
        early->large[TOO_MUCH_BYTES - 1] != early->fill)
        return 1;
    printf("ok: malloc in %s\n", early->when);
    return 0;
}

int main(void)
{
    usable_size_function *usable_size =
        __extension__(usable_size_function *) dlsym(RTLD_DEFAULT, "AO_malloc_usable_size");

    if (!usable_size) {
        puts("not ok: nothing is preloaded");
        return EXIT_FAILURE;
    }
    if (resolved_answer() != 42)
        return EXIT_FAILURE;
    int failures = check(&in_resolver, TEST_HAS_IFUNC, usable_size) +
                   check(&in_preinit, TEST_HAS_PREINIT, usable_size) + check(&in_constructor, true, usable_size);
    free(in_resolver.block);
    free(in_preinit.large);
    return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
