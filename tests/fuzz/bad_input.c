/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Fuzz target: what no program should hand in, in between what it may. Every pointer that is no block in use must end
 * in SIGABRT after one line on file descriptor 2 that names the function and the pointer, whatever the heap looks like;
 * and leave the heap as it was, which the shadow model sees when the input goes on. Other wrong arguments must be
 * refused with the errno that they are promised.
 */
#define _GNU_SOURCE
#include "model.h"
#include "world.h"

#include <aomalloc.h>

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
ssize_t __real_write(int fd, const void *text, size_t length);
ssize_t __wrap_write(int fd, const void *text, size_t length);

enum { OPERATIONS = 200, LINE_BYTES = 256, CHUNK_BYTES = 8192 };

static struct input input;

/* ---- what a call that must abort does ---- */

static bool is_expected;
static sigjmp_buf out;
static unsigned writes;
static int written_to;
static char written[LINE_BYTES];

/* The linker gives it all calls of write(). */
ssize_t __wrap_write(int fd, const void *text, size_t length)
{
    if (!is_expected)
        return __real_write(fd, text, length);
    writes++;
    written_to = fd;
    snprintf(written, sizeof written, "%.*s", (int)length, (const char *)text);
    return (ssize_t)length;
}

static void leave(int number)
{
    siglongjmp(out, number);
}

/* Whether call(pointer, size) ended in SIGABRT. */
static bool aborts(void (*call)(void *, size_t), void *pointer, size_t size)
{
    struct sigaction action, before;

    memset(&action, 0, sizeof action);
    action.sa_handler = leave;
    sigaction(SIGABRT, &action, &before);
    writes = 0;
    is_expected = true;
    int number = sigsetjmp(out, 1);
    if (number == 0)
        call(pointer, size);
    is_expected = false;
    sigaction(SIGABRT, &before, NULL);
    return number == SIGABRT;
}

static bool is_fault(const char *text)
{
    static const char *const faults[] = {
        "not a block: not from this heap\n",
        "not a block: inside a block or between blocks\n",
        "not a block: inside a large one\n",
        "not in use: freed already or never handed out\n",
        "not in use: freed already or resized by another thread\n",
    };
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        if (strcmp(text, faults[i]) == 0)
            return true;
    return false;
}

static void check_line(const char *function, const void *pointer)
{
    char begin[LINE_BYTES];
    int length = snprintf(begin, sizeof begin, "aomalloc: %s(0x%" PRIxPTR "): ", function, (uintptr_t)pointer);

    FUZZ_CHECK(writes == 1 && written_to == STDERR_FILENO);
    FUZZ_CHECK(strncmp(written, begin, (size_t)length) == 0);
    FUZZ_CHECK(is_fault(written + length));
}

/* ---- wrong pointers ---- */

static void call_free(void *pointer, size_t size)
{
    (void)size;
    AO_free(pointer);
}

static void call_realloc(void *pointer, size_t size)
{
    void *volatile moved = AO_realloc(pointer, size);
    (void)moved;
}

static void call_usable_size(void *pointer, size_t size)
{
    (void)size;
    (void)AO_malloc_usable_size(pointer);
}

static uintptr_t near_block(void)
{
    unsigned index = input_word(&input);
    unsigned offset = input_word(&input);

    if (model_count() == 0)
        return offset;
    const struct block *block = model_block(index % model_count());
    if (offset & 1)
        return block->address + offset / 2 % block->usable;
    return block->address + block->usable + (uintptr_t)(offset / 2) * 16;
}

/* A block with the low bits gone: begins of chunks, pages, segments and groups; or with high ones added. */
static uintptr_t beside_block(void)
{
    unsigned index = input_word(&input);
    unsigned bits = input_byte(&input) % (8 * sizeof(uintptr_t));
    uintptr_t address = model_count() ? model_block(index % model_count())->address : 0;

    return bits < 32 ? address >> bits << bits : address ^ (uintptr_t)1 << bits;
}

static uintptr_t outside(void)
{
    static char data[64];

    switch (input_byte(&input) % 5) {
    case 0:
        return (uintptr_t)data + 16;
    case 1:
        return (uintptr_t)__builtin_frame_address(0);
    case 2:
        return (uintptr_t)outside;
    case 3:
        return (uintptr_t)(void *)stderr;
    default:
        return (uintptr_t)&errno;
    }
}

static uintptr_t wrong_pointer(void)
{
    switch (input_byte(&input) % 7) {
    case 0:
        return near_block();
    case 1:
        return beside_block();
    case 2:
        return model_freed(input_byte(&input));
    case 3:
        return world_state_low() + (uintptr_t)input_number(&input) % world_state_bytes();
    case 4:
        return world_arena_low() + (uintptr_t)input_number(&input) % (world_arena_bytes() + 4096);
    case 5:
        return outside();
    default:
        return (uintptr_t)input_number(&input);
    }
}

static void hand_in_wrong_pointer(void)
{
    static const struct {
        const char *name;
        void (*call)(void *, size_t);
    } functions[] = {
        {"AO_free", call_free},
        {"AO_realloc", call_realloc},
        {"AO_malloc_usable_size", call_usable_size},
    };
    void *pointer = (void *)wrong_pointer();
    unsigned which = input_byte(&input) % 3;
    size_t size = input_size(&input);

    if (!pointer || model_is_block((uintptr_t)pointer))
        return;
    FUZZ_CHECK(aborts(functions[which].call, pointer, size));
    check_line(functions[which].name, pointer);
}

/* ---- other wrong arguments ---- */

/* Of the heap already; or no whole chunk; or what wraps around. */
static void hand_in_wrong_region(void)
{
    unsigned index = input_word(&input);
    size_t bytes = input_size(&input);
    uintptr_t mem = (uintptr_t)input_number(&input);

    if (model_count() && index & 1) {
        mem = model_block(index / 2 % model_count())->address & ~(uintptr_t)(CHUNK_BYTES - 1);
        bytes |= CHUNK_BYTES;
    } else if (bytes >= CHUNK_BYTES) {
        mem |= (uintptr_t)1 << (8 * sizeof mem - 1);
        bytes |= (size_t)1 << (8 * sizeof bytes - 1);
    }
    errno = ERRNO_SENTINEL;
    FUZZ_CHECK(AO_malloc_add_region((void *)mem, bytes) == -1 && errno == EINVAL);
}

static void hand_in_wrong_size(void)
{
    size_t beyond = (size_t)PTRDIFF_MAX + 1 + (size_t)input_number(&input) % PTRDIFF_MAX;
    size_t alignment = (size_t)1 << input_byte(&input) % 16;

    model_malloc(beyond);
    model_calloc(beyond / 16 + 1, 32);
    model_aligned(alignment, beyond);
    model_aligned((size_t)input_number(&input) | 3, 16);
    model_aligned((size_t)1 << (8 * sizeof(size_t) - 1), input_size(&input));
    if (model_count())
        model_realloc(input_word(&input) % model_count(), beyond);
}

/* ---- what is right ---- */

static void allocate_and_free(unsigned operation)
{
    switch (operation) {
    case 0:
        model_malloc(input_size(&input));
        break;
    case 1: {
        size_t size = input_size(&input);
        for (unsigned left = input_byte(&input) / 4; left; left--)
            model_malloc(size);
        break;
    }
    case 2: {
        unsigned bits = input_byte(&input);
        model_aligned((size_t)1 << bits % 24, input_size(&input));
        break;
    }
    default:
        if (model_count())
            model_free(input_word(&input) % model_count());
        break;
    }
}

static void change_heap(unsigned operation)
{
    switch (operation) {
    case 5:
        if (model_count()) {
            size_t index = input_word(&input) % model_count();
            model_realloc(index, input_size(&input));
        }
        break;
    case 6:
        cpu_set(input_byte(&input) % 16);
        break;
    case 7:
        model_enable_mmap();
        break;
    case 8:
        model_trim();
        break;
    default: {
        size_t offset = (size_t)input_byte(&input) * 64;
        model_add_region(offset, input_size(&input) % MIB);
        break;
    }
    }
}

static void operate(void)
{
    unsigned operation = input_byte(&input) % 16;

    if (operation < 5)
        allocate_and_free(operation);
    else if (operation < 10)
        change_heap(operation);
    else if (operation == 10)
        hand_in_wrong_region();
    else if (operation == 11)
        hand_in_wrong_size();
    else
        hand_in_wrong_pointer();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input = (struct input){data, data + size};
    model_begin();
    for (unsigned left = OPERATIONS; left && !input_is_over(&input); left--)
        operate();
    model_end();
    return 0;
}
