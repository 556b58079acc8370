/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

#define _GNU_SOURCE
#include "preloaded.h"
#include "test.h"

#include <dlfcn.h>
#include <string.h>

any_function *function_in(void *library, const char *name)
{
    void *symbol = dlsym(library, name);
    any_function *function;

    if (!symbol)
        fail_msg("no %s: is the library preloaded?", name);
    memcpy(&function, &symbol, sizeof function); /* POSIX, not ISO C, says that they are alike */
    return function;
}

any_function *preloaded_function(const char *name)
{
    return function_in(RTLD_DEFAULT, name);
}

bool preloaded_defines(const char *name)
{
    void *symbol = dlsym(RTLD_DEFAULT, name);
    Dl_info where;

    return symbol && dladdr(symbol, &where) && strstr(where.dli_fname, "/libaomalloc-preload-");
}

const char *preloaded_variant(void)
{
    typedef const char *variant_function(void);
    variant_function *variant = (variant_function *)preloaded_function("AO_malloc_variant");

    return variant();
}
