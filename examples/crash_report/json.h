/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */
/*
 * Writes JSON to a file descriptor with write(2). Objects and arrays begin and end in pairs; key is NULL inside an
 * array. A flat object or array stays on one line. Output is always valid UTF-8: a byte of a string that is not part
 * of a UTF-8 sequence becomes U+FFFD.
 */
#ifndef CRASH_REPORT_JSON_H
#define CRASH_REPORT_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json {
    int fd;
    bool failed;
    bool needs_comma;
    unsigned depth;
    unsigned flat; /* depth from which on everything stays on one line, 0: none */
    size_t used;
    char buffer[1024];
};

void json_begin(struct json *json, const char *key, char bracket);
void json_begin_flat(struct json *json, const char *key, char bracket);
void json_end(struct json *json, char bracket);

/* NULL is written as null. */
void json_string(struct json *json, const char *key, const char *value);
void json_integer(struct json *json, const char *key, intmax_t value);
void json_bool(struct json *json, const char *key, bool value);
/* As strings: an address does not fit into the numbers of every JSON reader. */
void json_address(struct json *json, const char *key, uintptr_t value);
void json_bytes(struct json *json, const char *key, const unsigned char *bytes, size_t count);

/* Returns false when anything could not be written. */
bool json_finish(struct json *json);

#endif
