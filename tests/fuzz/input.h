/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* The bytes that a fuzzer gives, read one after the other; behind their end are zeroes. */
#ifndef AOMALLOC_FUZZ_INPUT_H
#define AOMALLOC_FUZZ_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct input {
    const uint8_t *at, *end;
};

static inline bool input_is_over(const struct input *input)
{
    return input->at == input->end;
}

static inline uint8_t input_byte(struct input *input)
{
    return input->at < input->end ? *input->at++ : 0;
}

static inline unsigned input_word(struct input *input)
{
    unsigned low = input_byte(input);

    return low | (unsigned)input_byte(input) << 8;
}

static inline uint64_t input_number(struct input *input)
{
    uint64_t number = 0;

    for (unsigned i = 0; i < 64; i += 8)
        number |= (uint64_t)input_byte(input) << i;
    return number;
}

/* A size: mostly what a class serves, now and then a large object, rarely what nobody can have. */
static inline size_t input_size(struct input *input)
{
    unsigned kind = input_byte(input);

    if (kind < 0x80)
        return input_byte(input) * (size_t)(kind < 0x40 ? 1 : 16);
    if (kind < 0xc0)
        return input_word(input);
    if (kind < 0xe0)
        return (size_t)input_word(input) * 64; /* to 4 MiB */
    if (kind < 0xf8)
        return (size_t)input_word(input) << 10; /* to 64 MiB */
    return (SIZE_MAX >> (kind - 0xf8)) - input_word(input);
}

#endif /* AOMALLOC_FUZZ_INPUT_H */
