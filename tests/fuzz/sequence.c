/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Fuzz target: sequences of operations on a shadow model. An input is a program of one byte per operation and what it
 * needs; numbers of CPUs change within it, and an operation may be interrupted after any instruction by others, on
 * another CPU, as by a handler or by a thread that ran meanwhile.
 * [model.h: what is checked; tools/fuzz.sh: how it is run]
 */
#include "model.h"
#include "world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OPERATIONS = 200, INTERRUPTING = 3 };

static struct input input;
static unsigned work_left; /* of one input, in blocks that many operations at once may handle */

static size_t choose(void)
{
    return input_word(&input) % model_count();
}

static unsigned choose_many(void)
{
    unsigned wanted = input_byte(&input) + 1u;
    unsigned many = wanted < work_left ? wanted : work_left;

    work_left -= many;
    return many;
}

static void allocate_many(void)
{
    size_t size = input_size(&input);

    for (unsigned left = choose_many(); left; left--)
        model_malloc(size);
}

static void free_many(void)
{
    unsigned step = input_byte(&input) % 8 + 1u;
    size_t at = choose();

    for (unsigned left = choose_many(); left && at < model_count(); left--, at += step - 1)
        model_free(at);
}

/* Numbers beyond all bounds too. */
static void change_cpu(void)
{
    unsigned number = input_byte(&input);

    cpu_set(number < 0xf0 ? number % 16 : number < 0xf8 ? 4095u + number % 2 : UINT32_MAX - number % 8);
}

static void allocate(unsigned operation)
{
    unsigned bits;

    switch (operation) {
    case 0:
        model_malloc(input_size(&input));
        break;
    case 1:
        bits = input_byte(&input);
        model_calloc(bits < 0xf0 ? 1 : (size_t)1 << bits % 16, input_size(&input));
        break;
    case 2:
        bits = input_byte(&input);
        model_aligned(((size_t)1 << bits % 24) + bits / 0xf8, input_size(&input));
        break;
    default:
        allocate_many();
        break;
    }
}

static void handle(unsigned operation)
{
    if (model_count() == 0) {
        if (operation == 7)
            model_use_null(input_size(&input));
        return;
    }
    switch (operation) {
    case 4:
    case 5:
        model_free(choose());
        break;
    case 6:
        free_many();
        break;
    case 7: {
        size_t index = choose();
        model_realloc(index, input_size(&input));
        break;
    }
    default:
        model_usable_size(choose());
        break;
    }
}

static void change_heap(unsigned operation)
{
    switch (operation) {
    case 9:
        model_enable_mmap();
        break;
    case 10:
        model_trim();
        break;
    case 11:
        model_set_limit((size_t)input_word(&input) << 12);
        break;
    case 12: {
        unsigned counts = input_word(&input);
        world_refuse(counts & 7, counts >> 3 & 7, counts >> 6 & 7, counts >> 9 & 7);
        break;
    }
    default: {
        size_t offset = (size_t)input_byte(&input) * 64;
        model_add_region(offset, input_size(&input) % (4 * MIB));
        break;
    }
    }
}

static void interrupting(void);

static void operate(void)
{
    unsigned operation = input_byte(&input) % 18;

    if (operation < 4)
        allocate(operation);
    else if (operation < 9)
        handle(operation);
    else if (operation < 14)
        change_heap(operation);
    else if (operation == 14)
        change_cpu();
    else if (operation == 15)
        model_check_content();
    else if (operation == 16)
        interrupt_after(input_word(&input) % 512, interrupting);
    else
        interrupt_in_window(input_byte(&input) % 4 + 1u, interrupting);
}

/* As a handler that stays on the CPU, or as another thread, on another one. Whether the caller is moved meanwhile. */
static void interrupting(void)
{
    uint32_t cpu = cpu_get();
    unsigned how = input_byte(&input);

    if (how & 1)
        cpu_set((cpu + how / 4) % 16);
    for (unsigned left = INTERRUPTING; left; left--)
        operate();
    if (how & 2)
        cpu_set(cpu);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input = (struct input){data, data + size};
    work_left = 4 * MODEL_BLOCKS;
    model_begin();
    for (unsigned left = OPERATIONS; left && !input_is_over(&input); left--) {
        operate();
        if (left % 8 == 0)
            model_check_account();
    }
    model_end();
    return 0;
}
