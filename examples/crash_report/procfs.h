/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */
/* What /proc tells about this process, read with open(2), read(2) and getdents64(2): opendir(3) would allocate. */
#ifndef CRASH_REPORT_PROCFS_H
#define CRASH_REPORT_PROCFS_H

#include <stdbool.h>
#include <stddef.h>

struct report;

/* Calls visit once per line, without its newline, until it returns false. Lines longer than 16 KiB are cut. */
bool procfs_each_line(const char *path, bool (*visit)(char *line, void *argument), void *argument);

/* Fill in name and executable, and the list of threads. */
void procfs_read_program(struct report *report);
void procfs_read_threads(struct report *report);

#endif
