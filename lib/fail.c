/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "fail.h"

#define AOMA_FAIL_LINE_BYTES 160

/* Who was put under another program's malloc says free(), not AO_free(). */
#define AOMA_FAIL_SKIPPED_BYTES (AOMA_PRELOAD ? sizeof "AO_" - 1 : 0)

struct line {
    char text[AOMA_FAIL_LINE_BYTES];
    size_t length;
};

/* Leaves room for the line's end; what does not fit is cut. */
static void put(struct line *line, const char *text)
{
    while (*text && line->length < sizeof line->text - 1)
        line->text[line->length++] = *text++;
}

static void put_pointer(struct line *line, const void *pointer)
{
    char digits[2 * sizeof pointer + 1];
    uintptr_t value = (uintptr_t)pointer;
    char *first = &digits[sizeof digits - 1];

    *first = '\0';
    do {
        *--first = "0123456789abcdef"[value & 15];
        value >>= 4;
    } while (value);
    put(line, "0x");
    put(line, first);
}

AOMA_NORETURN static void finish(struct line *line)
{
    line->text[line->length++] = '\n';
    /* One write, so that lines of several threads do not mix. Nothing can be done if it fails. */
    ssize_t written = write(STDERR_FILENO, line->text, line->length);
    (void)written;
    abort();
}

void aoma_fail(const char *function, const void *pointer, const char *fault)
{
    struct line line;

    line.length = 0;
    put(&line, "aomalloc: ");
    put(&line, function + AOMA_FAIL_SKIPPED_BYTES);
    put(&line, "(");
    put_pointer(&line, pointer);
    put(&line, "): ");
    put(&line, fault);
    finish(&line);
}

void aoma_fail_invariant(const char *what)
{
    struct line line;

    line.length = 0;
    put(&line, "aomalloc: internal error: ");
    put(&line, what);
    finish(&line);
}
