/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

#include "unit.h"

#include "bytes.h"

enum { MOST_BYTES = 300, AROUND = 32 };

struct place {
    _Alignas(16) unsigned char bytes[AROUND + MOST_BYTES + AROUND];
};

static void pattern(struct place *place, unsigned seed)
{
    for (unsigned i = 0; i < sizeof place->bytes; i++)
        place->bytes[i] = (unsigned char)(i * 7 + seed);
}

static size_t rounded(size_t length)
{
    return (length + 15) / 16 * 16;
}

/* The bytes before and from behind the last unit are as they were. */
static void assert_around(const struct place *place, size_t length, unsigned seed)
{
    for (unsigned i = 0; i < sizeof place->bytes; i++) {
        if (i < AROUND || i >= AROUND + rounded(length))
            CHECK(place->bytes[i] == (unsigned char)(i * 7 + seed));
    }
}

TEST(filling_fills_whole_units)
{
    static const unsigned char fills[] = {0, 1, 0xa5, 0xff};
    static struct place place;

    for (size_t length = 0; length <= MOST_BYTES; length++) {
        for (size_t i = 0; i < sizeof fills; i++) {
            pattern(&place, 3);
            aoma_bytes_fill(place.bytes + AROUND, fills[i], length);
            for (size_t at = 0; at < rounded(length); at++)
                CHECK(place.bytes[AROUND + at] == fills[i]);
            assert_around(&place, length, 3);
        }
    }
}

TEST(copying_copies_whole_units)
{
    static struct place place, source;

    for (size_t length = 0; length <= MOST_BYTES; length++) {
        pattern(&place, 3);
        pattern(&source, 100);
        aoma_bytes_copy(place.bytes + AROUND, source.bytes + AROUND, length);
        assert_memory_equal(place.bytes + AROUND, source.bytes + AROUND, rounded(length));
        assert_around(&place, length, 3);
    }
}
