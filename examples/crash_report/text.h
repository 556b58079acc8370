/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */
/* Strings without stdio: a bounded buffer that is always NUL-terminated, and numbers written to and read from text. */
#ifndef CRASH_REPORT_TEXT_H
#define CRASH_REPORT_TEXT_H

#include <stddef.h>
#include <stdint.h>

struct text {
    char *data;
    size_t capacity; /* at least 1; what does not fit is dropped */
    size_t length;   /* < capacity */
};

struct text text_on(char *buffer, size_t bytes);
void text_char(struct text *text, char c);
void text_string(struct text *text, const char *string);
void text_decimal(struct text *text, intmax_t value);
/* At least width digits, padded with zeros on the left. */
void text_unsigned(struct text *text, uintmax_t value, unsigned base, unsigned width);

/* Reads hexadecimal digits at *cursor and moves it behind them and behind one more character, the separator. */
uintptr_t text_read_hex(const char **cursor);

/* Copies of a string on the report's heap; NULL when memory is short. */
char *text_copy(const char *string);
char *text_copy_bytes(const char *bytes, size_t count);

#endif
