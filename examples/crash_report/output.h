/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */
/* The report's file: its name comes from CRASH_REPORT_FILE, read once before any crash. */
#ifndef CRASH_REPORT_OUTPUT_H
#define CRASH_REPORT_OUTPUT_H

#include <stdbool.h>

struct report;

void output_install(void);

/* Creates the file; -1: not possible. */
int output_open(void);

/*
 * Writes the report, in place of what was written before, which is shorter. What goes to a pipe or a terminal cannot be
 * replaced; there a report that is not complete yet is left out.
 */
void output_write(int fd, const struct report *report, bool complete);

#endif
