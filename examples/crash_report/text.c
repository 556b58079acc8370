/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */
#include "text.h"

#include <string.h>

#include "alloc.h"

struct text text_on(char *buffer, size_t bytes)
{
    buffer[0] = '\0';
    return (struct text){.data = buffer, .capacity = bytes};
}

void text_char(struct text *text, char c)
{
    if (text->length + 1 >= text->capacity)
        return;
    text->data[text->length++] = c;
    text->data[text->length] = '\0';
}

void text_string(struct text *text, const char *string)
{
    while (*string)
        text_char(text, *string++);
}

void text_unsigned(struct text *text, uintmax_t value, unsigned base, unsigned width)
{
    char digits[64];
    unsigned count = 0;
    do {
        digits[count++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value || count < width);
    while (count)
        text_char(text, digits[--count]);
}

void text_decimal(struct text *text, intmax_t value)
{
    if (value < 0)
        text_char(text, '-');
    text_unsigned(text, value < 0 ? 0 - (uintmax_t)value : (uintmax_t)value, 10, 1);
}

uintptr_t text_read_hex(const char **cursor)
{
    uintptr_t value = 0;
    for (;; (*cursor)++) {
        char c = **cursor;
        if (c >= '0' && c <= '9')
            value = value * 16 + (uintptr_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            value = value * 16 + (uintptr_t)(c - 'a' + 10);
        else
            break;
    }
    if (**cursor)
        (*cursor)++;
    return value;
}

char *text_copy_bytes(const char *bytes, size_t count)
{
    char *copy = report_alloc(count + 1);
    if (copy) {
        memcpy(copy, bytes, count);
        copy[count] = '\0';
    }
    return copy;
}

char *text_copy(const char *string)
{
    return text_copy_bytes(string, strlen(string));
}
