/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* The C library's functions, as a program that knows nothing of aomalloc finds them: results, alignments, errno. */

#define _GNU_SOURCE
#include "child.h"
#include "preloaded.h"
#include "test.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* C23; not declared by older C libraries, nor defined by them. */
typedef void free_sized_function(void *, size_t);
typedef void free_aligned_sized_function(void *, size_t, size_t);

static bool is_aligned(const void *block, size_t alignment)
{
    return ((uintptr_t)block & (alignment - 1)) == 0;
}

/* Writes to all of it, and gives it back. */
static void use(void *block, size_t bytes)
{
    assert_non_null(block);
    memset(block, 0x5a, bytes);
    free(block);
}

#define assert_fails(call, number)                                                                                     \
    do {                                                                                                               \
        errno = ERRNO_SENTINEL;                                                                                        \
        assert_null(call);                                                                                             \
        assert_int_equal(errno, number);                                                                               \
    } while (0)

TEST(the_library_is_under_this_program)
{
    const char *const names[] = {"malloc",
                                 "free",
                                 "calloc",
                                 "realloc",
                                 "reallocarray",
                                 "memalign",
                                 "posix_memalign",
                                 "aligned_alloc",
                                 "valloc",
                                 "pvalloc",
                                 "malloc_usable_size",
                                 "free_sized",
                                 "free_aligned_sized"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!preloaded_defines(names[i]))
            fail_msg("%s is not ours", names[i]);
    assert_string_equal(preloaded_variant(), getenv("TEST_PRELOAD_VARIANT"));
}

TEST(malloc_gives_more_than_the_static_heap)
{
    errno = ERRNO_SENTINEL;
    use(malloc(2 * TEST_HEAP_BYTES), 2 * TEST_HEAP_BYTES);
    for (size_t size = 0; size < 3 * MIB; size = size * 5 / 4 + 1)
        use(malloc(size), size);
    assert_int_equal(errno, ERRNO_SENTINEL);
}

TEST(malloc_of_0_is_a_block)
{
    void *first = malloc(opaque_size(0)), *second = malloc(opaque_size(0));

    assert_non_null(first);
    assert_non_null(second);
    assert_ptr_not_equal(first, second);
    free(first);
    free(second);
}

TEST(malloc_beyond_ptrdiff_max_is_enomem)
{
    assert_fails(malloc(opaque_size((size_t)PTRDIFF_MAX + 1)), ENOMEM);
    assert_fails(malloc(opaque_size(PTRDIFF_MAX)), ENOMEM);
    assert_fails(malloc(opaque_size(SIZE_MAX)), ENOMEM);
}

TEST(free_keeps_errno)
{
    errno = ERRNO_SENTINEL;
    free(opaque_pointer(NULL));
    free(malloc(100));
    free(malloc(100 * MIB));
    assert_int_equal(errno, ERRNO_SENTINEL);
}

TEST(free_with_sizes)
{
    free_sized_function *free_with_size = (free_sized_function *)preloaded_function("free_sized");
    free_aligned_sized_function *free_with_both =
        (free_aligned_sized_function *)preloaded_function("free_aligned_sized");
    void *block = malloc(100);

    errno = ERRNO_SENTINEL;
    free_with_size(NULL, 0);
    free_with_both(NULL, 64, 0);
    free_with_size(block, 100);
    assert_ptr_equal(malloc(100), block); /* it really was freed: the first free block is handed out again */
    free_with_both(aligned_alloc(4096, 8192), 4096, 8192);
    assert_int_equal(errno, ERRNO_SENTINEL);
}

TEST(calloc_gives_zeros)
{
    for (size_t size = 1; size < 4 * MIB; size = size * 3 / 2 + 1) {
        use(malloc(size), size);
        unsigned char *block = calloc(size, 1);
        assert_non_null(block);
        for (size_t i = 0; i < size; i++)
            CHECK(block[i] == 0);
        free(block);
    }
    use(calloc(0, 100), 0);
}

TEST(calloc_overflow_is_enomem)
{
    assert_fails(calloc(opaque_size(SIZE_MAX / 2 + 1), 2), ENOMEM);
    assert_fails(calloc(opaque_size((size_t)PTRDIFF_MAX + 1), 1), ENOMEM);
}

TEST(realloc_keeps_content)
{
    unsigned char *block = realloc(NULL, 100);

    assert_non_null(block);
    memset(block, 0x77, 100);
    for (size_t size = 101; size < 8 * MIB; size = size * 3 / 2) {
        block = realloc(block, size);
        assert_non_null(block);
        for (size_t i = 0; i < 100; i++)
            CHECK(block[i] == 0x77);
        block[size - 1] = 1;
    }
    block = realloc(block, 50);
    for (size_t i = 0; i < 50; i++)
        CHECK(block[i] == 0x77);
    free(block);
}

TEST(realloc_to_0_frees)
{
    void *block = malloc(100);

    errno = ERRNO_SENTINEL;
    assert_null(realloc(block, opaque_size(0)));
    assert_int_equal(errno, ERRNO_SENTINEL);
    assert_ptr_equal(malloc(100), block);
    use(realloc(NULL, opaque_size(0)), 0);
}

TEST(realloc_that_fails_leaves_the_block)
{
    char *block = malloc(100);

    strcpy(block, "as it was");
    assert_fails(realloc(block, opaque_size((size_t)PTRDIFF_MAX + 1)), ENOMEM);
    assert_string_equal(block, "as it was");
    free(block);
}

TEST(reallocarray_multiplies)
{
    char *block = reallocarray(NULL, 10, 10);

    assert_non_null(block);
    assert_true(malloc_usable_size(block) >= 100);
    strcpy(block, "as it was");
    assert_fails(reallocarray(opaque_pointer(block), opaque_size(SIZE_MAX / 2 + 1), 2), ENOMEM);
    assert_string_equal(block, "as it was");
    assert_null(reallocarray(block, opaque_size(0), 10));
    assert_ptr_equal(malloc(100), block);
}

TEST(malloc_usable_size_tells)
{
    assert_int_equal(malloc_usable_size(NULL), 0);
    for (size_t size = 0; size < 4 * MIB; size = size * 2 + 1) {
        void *block = malloc(size);
        assert_true(malloc_usable_size(block) >= size);
        use(block, malloc_usable_size(block));
    }
}

/* memalign, and aligned_alloc as it was until glibc 2.38. */
static void check_lenient(void *(*function)(size_t, size_t))
{
    errno = ERRNO_SENTINEL;
    for (size_t alignment = 1; alignment <= 4 * MIB; alignment *= 2) {
        for (size_t size = 1; size < 2 * MIB; size = size * 7 + 1) {
            void *block = function(alignment, size);
            assert_true(is_aligned(block, alignment));
            use(block, size);
        }
    }
    void *block = function(opaque_size(0), 100);
    assert_true(is_aligned(block, 16));
    use(block, 100);
    block = function(opaque_size(100), 10); /* rounded up */
    assert_true(is_aligned(block, 128));
    use(block, 10);
    block = function(opaque_size(3), 10);
    assert_true(is_aligned(block, 16));
    use(block, 10);
    block = function(opaque_size(64), opaque_size(0));
    assert_true(is_aligned(block, 64));
    use(block, 0);
    assert_int_equal(errno, ERRNO_SENTINEL);
    assert_fails(function(opaque_size(SIZE_MAX / 2 + 2), 10), EINVAL);
    assert_fails(function(opaque_size(SIZE_MAX / 2 + 1), 10), ENOMEM);
    assert_fails(function(4096, opaque_size(PTRDIFF_MAX)), ENOMEM);
    assert_fails(function(4096, opaque_size(SIZE_MAX)), ENOMEM);
}

TEST(memalign_aligns)
{
    check_lenient(memalign);
}

TEST(aligned_alloc_aligns)
{
    check_lenient(aligned_alloc);
}

TEST(posix_memalign_aligns)
{
    void *block = NULL;

    errno = ERRNO_SENTINEL;
    for (size_t alignment = sizeof(void *); alignment <= 4 * MIB; alignment *= 2) {
        assert_int_equal(posix_memalign(&block, alignment, 100), 0);
        assert_true(is_aligned(block, alignment));
        use(block, 100);
    }
    assert_int_equal(posix_memalign(&block, 64, opaque_size(0)), 0);
    use(block, 0);
    assert_int_equal(errno, ERRNO_SENTINEL);
}

TEST(posix_memalign_tells_its_errors)
{
    const size_t wrong[] = {0, 1, 2, sizeof(void *) / 2, sizeof(void *) + 1, 3 * sizeof(void *), SIZE_MAX};
    void *place = &place;

    errno = ERRNO_SENTINEL;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(posix_memalign(&place, opaque_size(wrong[i]), 100), EINVAL);
    assert_int_equal(posix_memalign(&place, 64, opaque_size(PTRDIFF_MAX)), ENOMEM);
    assert_int_equal(posix_memalign(&place, 64, opaque_size(SIZE_MAX)), ENOMEM);
    assert_ptr_equal(place, &place);
    assert_int_equal(errno, ERRNO_SENTINEL);
}

TEST(valloc_and_pvalloc_give_pages)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t sizes[] = {0, 1, page - 1, page, page + 1, 3 * page, 2 * MIB};

    errno = ERRNO_SENTINEL;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        void *block = valloc(sizes[i]);
        assert_true(is_aligned(block, page));
        use(block, sizes[i]);
        block = pvalloc(sizes[i]);
        assert_true(is_aligned(block, page));
        assert_true(malloc_usable_size(block) >= (sizes[i] + page - 1) / page * page);
        use(block, malloc_usable_size(block));
    }
    assert_int_equal(errno, ERRNO_SENTINEL);
    assert_fails(valloc(opaque_size(SIZE_MAX)), ENOMEM);
    assert_fails(pvalloc(opaque_size(SIZE_MAX)), ENOMEM);
    assert_fails(pvalloc(opaque_size(SIZE_MAX - page + 2)), ENOMEM);
    assert_fails(pvalloc(opaque_size(SIZE_MAX - page + 1)), ENOMEM);
}

/* Libraries hand out what they allocated by malloc inside the C library. */
TEST(blocks_of_the_c_library_are_ours)
{
    char *copy = strdup("copy"), *line = NULL;
    size_t bytes = 0;
    FILE *file = tmpfile();

    assert_non_null(file);
    assert_true(fputs("a line\n", file) >= 0);
    rewind(file);
    assert_int_equal(getline(&line, &bytes, file), 7);
    assert_true(malloc_usable_size(copy) >= 5);
    assert_true(malloc_usable_size(line) >= bytes);
    fclose(file);
    free(line);
    free(copy);
}

/* ---- wrong pointers ---- */

static void free_twice(void *ignored)
{
    void *block = malloc(100);

    (void)ignored;
    free(block);
    free(opaque_pointer(block));
}

static void free_foreign(void *ignored)
{
    int local;

    (void)ignored;
    free(opaque_pointer(&local));
}

static void resize_inside(void *ignored)
{
    char *block = malloc(1000);

    (void)ignored;
    CHECK(!realloc(opaque_pointer(block + 16), 10));
}

static void assert_aborts(void (*run)(void *), const char *beginning, const char *fault)
{
    struct child_result result;

    child_run(run, NULL, CHILD_STDERR_CAPTURED, &result);
    assert_true(WIFSIGNALED(result.status) && WTERMSIG(result.status) == SIGABRT);
    if (strncmp(result.output, beginning, strlen(beginning)) != 0 || !strstr(result.output, fault))
        fail_msg("said: %s", result.output);
}

TEST(wrong_pointers_are_named)
{
    test_skip_where_pointers_are_believed();
    assert_aborts(free_twice, "aomalloc: free(0x", "freed already");
    assert_aborts(free_foreign, "aomalloc: free(0x", "not from this heap");
    assert_aborts(resize_inside, "aomalloc: realloc(0x", "inside a block");
}
