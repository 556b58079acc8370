/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

#include "classic.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

unsigned classic_threads = 4;
const char *classic_mode;

static uint64_t percent = 100;
static const char *program = "classic";

/* At the block's begin; the same number is in its last 8 bytes. */
struct stamp {
    size_t bytes;
};

_Noreturn void classic_fail(const char *what)
{
    fprintf(stderr, "%s: %s\n", program, what);
    exit(EXIT_FAILURE);
}

static _Noreturn void usage(int status, const char *mode)
{
    fprintf(status ? stderr : stdout, "usage: %s [--threads 1..%d] [--work PERCENT]%s%s%s\n", program,
            CLASSIC_MAX_THREADS, mode ? " [" : "", mode ? mode : "", mode ? "]" : "");
    exit(status);
}

static uint64_t number_of(const char *text, uint64_t most, const char *mode)
{
    char *end = NULL;
    errno = 0;
    unsigned long value = text ? strtoul(text, &end, 10) : 0;
    if (text == NULL || *end != '\0' || errno != 0 || value < 1 || value > most)
        usage(2, mode);
    return value;
}

void classic_begin(int count, char **arguments, const char *mode)
{
    program = arguments[0];
    for (int i = 1; i < count; i++) {
        if (strcmp(arguments[i], "--threads") == 0) {
            classic_threads = (unsigned)number_of(arguments[++i], CLASSIC_MAX_THREADS, mode);
        } else if (strcmp(arguments[i], "--work") == 0) {
            percent = number_of(arguments[++i], 100000, mode);
        } else if (mode != NULL && i == count - 1 && strcmp(arguments[i], mode) == 0) {
            classic_mode = mode;
        } else {
            usage(strcmp(arguments[i], "--help") == 0 ? 0 : 2, mode);
        }
    }
}

uint64_t classic_work(uint64_t amount)
{
    uint64_t part = amount * percent / 100;
    return part ? part : 1;
}

void classic_end(const char *name, const struct classic_tally *tallies, unsigned count)
{
    uint64_t blocks = 0;
    uint64_t bytes = 0;
    for (unsigned i = 0; i < count; i++) {
        blocks += tallies[i].blocks;
        bytes += tallies[i].bytes;
    }
    printf("%s: blocks=%" PRIu64 " bytes=%" PRIu64 "\n", name, blocks, bytes);
    if (fflush(stdout) != 0)
        classic_fail("cannot write");
}

uint64_t classic_seed(uint64_t number)
{
    return (number + 1) * 0x9e3779b97f4a7c15u;
}

uint64_t classic_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state >> 16; /* the low bits of neighbours are alike */
}

size_t classic_between(uint64_t *state, size_t low, size_t high)
{
    return low + (size_t)(classic_random(state) % (high - low + 1));
}

static char *last_of(void *block, size_t bytes)
{
    return (char *)block + bytes - sizeof(size_t);
}

void *classic_new(size_t bytes, struct classic_tally *tally)
{
    void *block = malloc(bytes);
    if (block == NULL)
        classic_fail("out of memory");
    ((struct stamp *)block)->bytes = bytes;
    memcpy(last_of(block, bytes), &bytes, sizeof(bytes)); /* not aligned */
    tally->blocks++;
    tally->bytes += bytes;
    return block;
}

void classic_drop(void *block)
{
    if (block == NULL)
        return;
    size_t bytes = ((struct stamp *)block)->bytes;
    if (bytes < CLASSIC_MIN_BYTES || memcmp(last_of(block, bytes), &bytes, sizeof(bytes)) != 0)
        classic_fail("a block has lost its content");
    free(block);
}

struct start {
    void (*body)(unsigned);
    unsigned index;
};

static void *enter(void *argument)
{
    const struct start *start = argument;
    start->body(start->index);
    return NULL;
}

void classic_run(unsigned threads, void (*body)(unsigned))
{
    struct start starts[CLASSIC_MAX_THREADS];
    pthread_t ids[CLASSIC_MAX_THREADS];
    for (unsigned i = 0; i < threads; i++) {
        starts[i] = (struct start){body, i};
        if (pthread_create(&ids[i], NULL, enter, &starts[i]) != 0)
            classic_fail("cannot start a thread");
    }
    for (unsigned i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
}
