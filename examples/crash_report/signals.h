/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */
/* Names of the signals that are reported and of their codes; strsignal(3) and psiginfo(3) are not safe in a handler. */
#ifndef CRASH_REPORT_SIGNALS_H
#define CRASH_REPORT_SIGNALS_H

#include <signal.h>
#include <stdbool.h>

enum { SIGNALS_REPORTED = 5 };

extern const int signals_reported[SIGNALS_REPORTED];

const char *signals_name(int signo);
/* NULL: not known. */
const char *signals_code_name(const siginfo_t *info);
/* Raised by what the thread did itself, so that si_addr holds the address; otherwise sent, by si_pid. */
bool signals_is_fault(const siginfo_t *info);
bool signals_is_sent(const siginfo_t *info);

#endif
