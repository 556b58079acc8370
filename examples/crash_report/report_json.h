/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */
/* The report as JSON; examples/README.md describes its members. */
#ifndef CRASH_REPORT_REPORT_JSON_H
#define CRASH_REPORT_REPORT_JSON_H

#include <stdbool.h>

struct report;

/* complete: the report is final; report->problem may still say that something is missing. False: not written. */
bool report_json_write(int fd, const struct report *report, bool complete);

#endif
