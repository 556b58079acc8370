/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */
#include "json.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "text.h"

static void flush(struct json *json)
{
    size_t done = 0;
    while (done < json->used && !json->failed) {
        ssize_t wrote = write(json->fd, json->buffer + done, json->used - done);
        if (wrote > 0)
            done += (size_t)wrote;
        else
            json->failed = wrote == 0 || errno != EINTR;
    }
    json->used = 0;
}

static void put_bytes(struct json *json, const char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (json->used == sizeof(json->buffer))
            flush(json);
        json->buffer[json->used++] = bytes[i];
    }
}

static void put(struct json *json, const char *string)
{
    put_bytes(json, string, strlen(string));
}

static void put_unsigned(struct json *json, uintmax_t value, unsigned base, unsigned width)
{
    char digits[72];
    struct text text = text_on(digits, sizeof(digits));
    text_unsigned(&text, value, base, width);
    put(json, digits);
}

static void put_newline(struct json *json)
{
    put(json, "\n");
    for (unsigned i = 0; i < json->depth; i++)
        put(json, "  ");
}

/* Bytes of the UTF-8 sequence that string starts with, 0 if it starts with none; table 3-7 of the Unicode standard. */
static size_t sequence_length(const unsigned char *string)
{
    unsigned char first = string[0];
    unsigned char second_min = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    unsigned char second_max = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    if (first < 0x80)
        return 1;
    if (first < 0xc2 || first > 0xf4 || string[1] < second_min || string[1] > second_max)
        return 0;
    size_t length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    for (size_t i = 2; i < length; i++)
        if ((string[i] & 0xc0) != 0x80)
            return 0;
    return length;
}

static void put_ascii(struct json *json, char c)
{
    if (c == '"' || c == '\\') {
        put(json, "\\");
        put_bytes(json, &c, 1);
    } else if (c < 0x20 || c == 0x7f) {
        put(json, "\\u");
        put_unsigned(json, (unsigned char)c, 16, 4);
    } else {
        put_bytes(json, &c, 1);
    }
}

static void put_quoted(struct json *json, const char *string)
{
    put(json, "\"");
    while (*string) {
        size_t length = sequence_length((const unsigned char *)string);
        if (length == 1)
            put_ascii(json, *string);
        else if (length == 0)
            put(json, "\\ufffd");
        else
            put_bytes(json, string, length);
        string += length ? length : 1;
    }
    put(json, "\"");
}

static void begin_value(struct json *json, const char *key)
{
    bool flat = json->flat && json->depth >= json->flat;
    if (json->needs_comma)
        put(json, flat ? ", " : ",");
    if (!flat && json->depth)
        put_newline(json);
    if (key) {
        put_quoted(json, key);
        put(json, ": ");
    }
    json->needs_comma = true;
}

void json_begin(struct json *json, const char *key, char bracket)
{
    begin_value(json, key);
    put_bytes(json, &bracket, 1);
    json->depth++;
    json->needs_comma = false;
}

void json_begin_flat(struct json *json, const char *key, char bracket)
{
    json_begin(json, key, bracket);
    if (!json->flat)
        json->flat = json->depth;
}

void json_end(struct json *json, char bracket)
{
    bool flat = json->flat && json->depth >= json->flat;
    if (json->flat == json->depth)
        json->flat = 0;
    json->depth--;
    if (!flat && json->needs_comma)
        put_newline(json);
    put_bytes(json, &bracket, 1);
    json->needs_comma = true;
}

void json_string(struct json *json, const char *key, const char *value)
{
    begin_value(json, key);
    if (value)
        put_quoted(json, value);
    else
        put(json, "null");
}

void json_integer(struct json *json, const char *key, intmax_t value)
{
    begin_value(json, key);
    if (value < 0)
        put(json, "-");
    put_unsigned(json, value < 0 ? 0 - (uintmax_t)value : (uintmax_t)value, 10, 1);
}

void json_bool(struct json *json, const char *key, bool value)
{
    begin_value(json, key);
    put(json, value ? "true" : "false");
}

void json_address(struct json *json, const char *key, uintptr_t value)
{
    begin_value(json, key);
    put(json, "\"0x");
    put_unsigned(json, value, 16, 1);
    put(json, "\"");
}

void json_bytes(struct json *json, const char *key, const unsigned char *bytes, size_t count)
{
    begin_value(json, key);
    put(json, "\"");
    for (size_t i = 0; i < count; i++)
        put_unsigned(json, bytes[i], 16, 2);
    put(json, "\"");
}

bool json_finish(struct json *json)
{
    put(json, "\n");
    flush(json);
    return !json->failed;
}
