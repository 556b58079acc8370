/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */
#include "signals.h"

#include <stddef.h>

const int signals_reported[SIGNALS_REPORTED] = {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL};

struct code_name {
    int signo; /* 0: any */
    int code;
    const char *name;
};

#define CODE(signo, code) signo, code, #code

static const struct code_name code_names[] = {
    {CODE(0, SI_USER)},           {CODE(0, SI_QUEUE)},        {CODE(0, SI_TIMER)},        {CODE(0, SI_ASYNCIO)},
    {CODE(0, SI_MESGQ)},          {CODE(0, SI_TKILL)},        {CODE(0, SI_KERNEL)},       {CODE(SIGSEGV, SEGV_MAPERR)},
    {CODE(SIGSEGV, SEGV_ACCERR)}, {CODE(SIGBUS, BUS_ADRALN)}, {CODE(SIGBUS, BUS_ADRERR)}, {CODE(SIGBUS, BUS_OBJERR)},
    {CODE(SIGFPE, FPE_INTDIV)},   {CODE(SIGFPE, FPE_INTOVF)}, {CODE(SIGFPE, FPE_FLTDIV)}, {CODE(SIGFPE, FPE_FLTOVF)},
    {CODE(SIGFPE, FPE_FLTUND)},   {CODE(SIGFPE, FPE_FLTRES)}, {CODE(SIGFPE, FPE_FLTINV)}, {CODE(SIGILL, ILL_ILLOPC)},
    {CODE(SIGILL, ILL_ILLOPN)},   {CODE(SIGILL, ILL_ILLADR)}, {CODE(SIGILL, ILL_ILLTRP)}, {CODE(SIGILL, ILL_PRVOPC)},
    {CODE(SIGILL, ILL_PRVREG)},   {CODE(SIGILL, ILL_COPROC)}, {CODE(SIGILL, ILL_BADSTK)},
};

const char *signals_name(int signo)
{
    switch (signo) {
    case SIGSEGV:
        return "SIGSEGV";
    case SIGABRT:
        return "SIGABRT";
    case SIGBUS:
        return "SIGBUS";
    case SIGFPE:
        return "SIGFPE";
    case SIGILL:
        return "SIGILL";
    default:
        return NULL;
    }
}

const char *signals_code_name(const siginfo_t *info)
{
    for (size_t i = 0; i < sizeof(code_names) / sizeof(code_names[0]); i++) {
        const struct code_name *known = &code_names[i];
        if (known->code == info->si_code && (known->signo == 0 || known->signo == info->si_signo))
            return known->name;
    }
    return NULL;
}

bool signals_is_fault(const siginfo_t *info)
{
    return info->si_code > 0 && info->si_code != SI_KERNEL;
}

bool signals_is_sent(const siginfo_t *info)
{
    return info->si_code == SI_USER || info->si_code == SI_QUEUE || info->si_code == SI_TKILL;
}
