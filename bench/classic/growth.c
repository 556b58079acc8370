/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * realloc: 100 vectors grow side by side, each by half of what it has when it is full, from 16 bytes to 1 MiB, and are
 * then shrunk to half; between them a buffer that is read into grows by 4 KiB a time to 64 MiB. In one thread. Tables
 * that grow by a factor: Cormen, Leiserson, Rivest and Stein, "Introduction to Algorithms", section on dynamic tables;
 * why 1.5: folly's notes on FBVector (https://github.com/facebook/folly/blob/main/folly/docs/FBVector.md).
 */
#include "classic.h"

#include <stdlib.h>
#include <string.h>

enum { VECTORS = 100, LEAST_BYTES = 16, MOST_BYTES = 1 << 20, STEP_BYTES = 4096, BUFFER_BYTES = 64 << 20 };

struct vector {
    unsigned char *data;
    size_t bytes;
};

static struct classic_tally tally;

/* The new part is written, what was there before is looked at, at its ends. */
static void resize(struct vector *vector, size_t bytes)
{
    size_t common = vector->bytes < bytes ? vector->bytes : bytes;
    vector->data = realloc(vector->data, bytes);
    if (vector->data == NULL)
        classic_fail("out of memory");
    if (common > 0 && (vector->data[0] != 1 || vector->data[common - 1] != 1))
        classic_fail("realloc has lost something");
    memset(vector->data + common, 1, bytes - common);
    vector->bytes = bytes;
    tally.blocks++;
    tally.bytes += bytes;
}

static void grow_vectors(struct vector *vectors)
{
    for (size_t bytes = LEAST_BYTES; bytes <= MOST_BYTES; bytes += bytes / 2)
        for (size_t i = 0; i < VECTORS; i++)
            resize(&vectors[i], bytes + i % 7);
    for (size_t i = 0; i < VECTORS; i++)
        resize(&vectors[i], vectors[i].bytes / 2);
}

int main(int count, char **arguments)
{
    classic_begin(count, arguments, NULL);
    for (uint64_t round = classic_work(4); round > 0; round--) {
        struct vector vectors[VECTORS] = {{NULL, 0}};
        struct vector buffer = {NULL, 0};
        grow_vectors(vectors);
        while (buffer.bytes < BUFFER_BYTES)
            resize(&buffer, buffer.bytes + STEP_BYTES);
        for (size_t i = 0; i < VECTORS; i++)
            free(vectors[i].data);
        free(buffer.data);
    }
    classic_end("growth", &tally, 1);
    return EXIT_SUCCESS;
}
