/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* Threads, forks and loaded libraries above the preloaded heap: what the C library itself allocates for them, too. */

#define _GNU_SOURCE
#include "preloaded.h"
#include "test.h"

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 4, BLOCKS = 64, SHORT_THREADS = 100, FORKS = 40, LOADS = 20, CHILD_SECONDS_MAX = 60 };

static atomic_bool stop;

static void churn(unsigned seed)
{
    unsigned char *blocks[BLOCKS] = {NULL};

    for (unsigned i = 0; i < 10 * BLOCKS; i++) {
        unsigned slot = (seed = seed * 1103515245u + 12345u) / 65536 % BLOCKS;
        size_t size = 1 + (seed >> 8) % 5000;
        CHECK(!blocks[slot] || blocks[slot][0] == slot);
        free(blocks[slot]);
        blocks[slot] = malloc(size);
        CHECK(blocks[slot] != NULL);
        memset(blocks[slot], (int)slot, size);
    }
    for (unsigned i = 0; i < BLOCKS; i++)
        free(blocks[i]);
}

static void *churn_until_stopped(void *number)
{
    for (unsigned i = 0; !atomic_load(&stop); i++)
        churn(i + (unsigned)(uintptr_t)number);
    return NULL;
}

static void *churn_once(void *number)
{
    churn((unsigned)(uintptr_t)number);
    return strdup("result");
}

static void start(pthread_t *threads)
{
    for (uintptr_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, churn_until_stopped, (void *)(i * 1000)) == 0);
}

static void finish(const pthread_t *threads)
{
    atomic_store(&stop, true);
    for (unsigned i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
}

TEST(threads_come_and_go)
{
    pthread_t threads[THREADS];

    start(threads);
    for (uintptr_t i = 0; i < SHORT_THREADS; i++) {
        pthread_t thread;
        void *result;
        assert_int_equal(pthread_create(&thread, NULL, churn_once, (void *)i), 0);
        assert_int_equal(pthread_join(thread, &result), 0);
        assert_string_equal(result, "result");
        free(result);
    }
    finish(threads);
}

/* The child may be short of what other threads had in their hands, but never waits for them. */
TEST(children_of_a_threaded_program_allocate)
{
    pthread_t threads[THREADS];

    start(threads);
    for (unsigned i = 0; i < FORKS; i++) {
        pid_t child = fork();
        int status;
        if (child == 0) {
            alarm(CHILD_SECONDS_MAX);
            churn(i);
            free(malloc(5 * MIB));
            _exit(0);
        }
        CHECK(child > 0 && waitpid(child, &status, 0) == child);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    finish(threads);
}

static volatile sig_atomic_t ticks;

/* Allowed with this malloc, and with no other. */
static void allocate_in_handler(int number)
{
    (void)number;
    void *block = malloc(100);
    CHECK(block != NULL);
    free(block);
    ticks++;
}

TEST(handlers_allocate)
{
    struct sigaction action = {.sa_handler = allocate_in_handler, .sa_flags = SA_RESTART};
    pthread_t threads[THREADS];
    uint64_t deadline = test_deadline_ns();

    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    start(threads);
    while (!test_passed(deadline) || ticks < 100)
        for (unsigned i = 0; i < THREADS; i++)
            assert_int_equal(pthread_kill(threads[i], SIGUSR1), 0);
    finish(threads);
}

static void *load(void)
{
    void *library = dlopen(getenv("TEST_PLUGIN"), RTLD_NOW);

    if (!library)
        fail_msg("%s", dlerror());
    return library;
}

static void *load_and_unload(void *ignored)
{
    (void)ignored;
    for (unsigned i = 0; i < LOADS; i++) {
        void *library = load();
        void *(*plugin_malloc)(void) = (void *(*)(void))function_in(library, "plugin_malloc");
        void *(*plugin_ao_malloc)(void) = (void *(*)(void))function_in(library, "plugin_ao_malloc");
        char *text = plugin_malloc();
        void *block = plugin_ao_malloc();
        CHECK(dlclose(library) == 0);
        CHECK(strcmp(text, "constructor") == 0);
        free(text);
        free(block); /* the plugin's AO_malloc is the preloaded one */
    }
    return NULL;
}

TEST(libraries_come_and_go)
{
    pthread_t threads[THREADS], loader;

    start(threads);
    assert_int_equal(pthread_create(&loader, NULL, load_and_unload, NULL), 0);
    load_and_unload(NULL);
    assert_int_equal(pthread_join(loader, NULL), 0);
    finish(threads);
}

TEST(a_library_loaded_late_has_the_same_heap)
{
    void *library = load();
    const char *(*plugin_variant)(void) = (const char *(*)(void))function_in(library, "plugin_variant");

    assert_string_equal(plugin_variant(), preloaded_variant());
    assert_int_equal(dlclose(library), 0);
}
