/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Large blocks: 20 live ones of 5 to 25 MiB, of which one chosen at random is replaced and filled, again and again, in
 * one thread. The pattern of malloc-large in mimalloc-bench (Daan Leijen, https://github.com/daanx/mimalloc-bench).
 */
#include "classic.h"

#include <stdlib.h>
#include <string.h>

enum { SLOTS = 20, MIB = 1 << 20, LEAST_BYTES = 5 * MIB, MOST_BYTES = 25 * MIB };

int main(int count, char **arguments)
{
    void *slots[SLOTS] = {NULL};
    struct classic_tally tally = {0};
    uint64_t random = classic_seed(0);
    classic_begin(count, arguments, NULL);
    for (uint64_t i = classic_work(200); i > 0; i--) {
        void **slot = &slots[classic_between(&random, 0, SLOTS - 1)];
        size_t bytes = classic_between(&random, LEAST_BYTES, MOST_BYTES);
        classic_drop(*slot);
        *slot = classic_new(bytes, &tally);
        memset((char *)*slot + sizeof(size_t), 1, bytes - 2 * sizeof(size_t)); /* between the stamps */
    }
    for (size_t i = 0; i < SLOTS; i++)
        classic_drop(slots[i]);
    classic_end("large", &tally, 1);
    return EXIT_SUCCESS;
}
