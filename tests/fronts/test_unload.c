/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * The shared library is closed while threads that were in its sections go on: the kernel still finds the sections'
 * descriptors in their areas, and would end the process if it could not read them. Blocks outlive the library's handle.
 */

#define _GNU_SOURCE
#include "test.h"

#include "canary.h"

#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

enum { THREADS = 3, BLOCKS = 200, BLOCK_BYTES = 100 };

struct library {
    void *handle;
    void *(*malloc)(size_t size);
    void (*free)(void *block);
    const char *(*mode)(void);
};

/* Through a union: ISO C converts no object pointer to one to a function. */
static uintptr_t look_up(void *handle, const char *name)
{
    uintptr_t address = (uintptr_t)dlsym(handle, name);

    CHECK(address);
    return address;
}

static void open_library(struct library *library)
{
    library->handle = dlopen(TEST_LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!library->handle) {
        const char *error = dlerror();
        if (strstr(error, "initial-exec")) /* musl, and perthread */
            test_skip(error);
        fail_msg("%s", error);
    }
    library->malloc = (void *(*)(size_t))look_up(library->handle, "AO_malloc");
    library->free = (void (*)(void *))look_up(library->handle, "AO_free");
    library->mode = (const char *(*)(void))look_up(library->handle, "AO_malloc_mode");
    ((void (*)(void))look_up(library->handle, "AO_malloc_enable_mmap"))();
}

static void do_nothing(int number)
{
    (void)number;
}

/* What makes the kernel look at the descriptor of the last section. */
static void be_interrupted(void)
{
    static const struct timespec pause = {0, 100000};

    raise(SIGUSR1);
    sched_yield();
    nanosleep(&pause, NULL);
}

static struct library library;
static void *blocks[THREADS + 1][BLOCKS];
static atomic_uint done;
static atomic_bool closed;

static void use_sections(void **own, uintptr_t number)
{
    for (unsigned i = 0; i < BLOCKS; i++) {
        own[i] = library.malloc(BLOCK_BYTES);
        CHECK(own[i]);
        canary_write(own[i], BLOCK_BYTES, number);
    }
    for (unsigned i = 0; i < BLOCKS; i += 2) {
        CHECK(canary_take(own[i]));
        library.free(own[i]);
    }
}

/* Spins until the library is closed, so that the kernel has no cause to look at the descriptor before. */
static void *use_and_stay(void *argument)
{
    uintptr_t number = (uintptr_t)argument;

    use_sections(blocks[number], number);
    atomic_fetch_add(&done, 1);
    while (!atomic_load(&closed))
        ;
    be_interrupted();
    for (unsigned i = 1; i < BLOCKS; i += 2)
        CHECK(canary_is_whole(blocks[number][i]));
    return NULL;
}

static void close_library(void)
{
    CHECK(dlclose(library.handle) == 0);
    memset(&library, 0, sizeof library);
}

TEST(closed_while_threads_had_been_in_sections)
{
    unsigned rounds = test_long() ? 1000 : 20;

    signal(SIGUSR1, do_nothing);
    for (unsigned round = 0; round < rounds; round++) {
        pthread_t threads[THREADS];

        open_library(&library);
        atomic_store(&closed, false);
        atomic_store(&done, 0);
        for (size_t i = 0; i < THREADS; i++)
            CHECK(pthread_create(&threads[i], NULL, use_and_stay, (void *)i) == 0);
        while (atomic_load(&done) < THREADS)
            sched_yield();
        use_sections(blocks[THREADS], THREADS);
        close_library();
        atomic_store(&closed, true);
        be_interrupted();
        for (size_t i = 0; i < THREADS; i++)
            CHECK(pthread_join(threads[i], NULL) == 0);

        open_library(&library);
        for (unsigned i = 1; i < BLOCKS; i += 2)
            for (unsigned owner = 0; owner <= THREADS; owner++) {
                CHECK(canary_take(blocks[owner][i]));
                library.free(blocks[owner][i]);
            }
        close_library();
    }
}

/* The one thread there is, and nothing between its last section and the close. */
TEST(closed_right_after_a_section)
{
    signal(SIGUSR1, do_nothing);
    open_library(&library);
    if (strcmp(library.mode(), "rseq") != 0)
        test_skip(library.mode());
    void *handle = library.handle;
    void *block = library.malloc(BLOCK_BYTES);
    library.free(library.malloc(BLOCK_BYTES));
    dlclose(handle);
    be_interrupted();
    memset(block, 0xa5, BLOCK_BYTES);
}
