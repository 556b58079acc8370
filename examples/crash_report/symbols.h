/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */
/*
 * Function names from a module's file: .symtab, else .dynsym, read through a mapping of our own.
 *
 * libunwind's unw_get_proc_name is not used: where a file carries .gnu_debugdata it unpacks it with liblzma, which
 * calls malloc. Separate debug files are not looked for; the report's build ids say which ones fit.
 */
#ifndef CRASH_REPORT_SYMBOLS_H
#define CRASH_REPORT_SYMBOLS_H

#include <stdint.h>

struct module;

struct symbol {
    const char *name; /* NULL: none found; valid as long as the module */
    uintptr_t offset; /* of the address from the symbol's start */
};

struct symbol symbols_find(struct module *module, uintptr_t address);

#endif
