/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* One binary serves every malloc that can be preloaded, so calls beyond the standard ones are looked up at run time. */
#include "binding.h"

#include <dlfcn.h>
#include <stdint.h>
#include <string.h>

void bench_binding_start(void)
{
}

static const char *library_of(const char *symbol)
{
    Dl_info info;
    void *address = dlsym(RTLD_DEFAULT, symbol);
    if (address == NULL || dladdr(address, &info) == 0 || info.dli_fname == NULL)
        return NULL;
    return info.dli_fname;
}

/*
 * 0 unless the function comes from the library that serves malloc: glibc's malloc_trim is of no use to a preloaded one.
 */
static uintptr_t own_call(const char *symbol)
{
    const char *allocator = library_of("malloc");
    const char *other = library_of(symbol);
    if (allocator == NULL || other == NULL || strcmp(allocator, other) != 0)
        return 0;
    return (uintptr_t)dlsym(RTLD_DEFAULT, symbol);
}

static bool trim_glibc(uintptr_t call)
{
    ((int (*)(size_t))call)(0);
    return true;
}

/*
 * 4096 stands for all arenas (MALLCTL_ARENAS_ALL since jemalloc
 * 5.0); the calling thread's cache is flushed into them first.
 */
static bool trim_jemalloc(uintptr_t call)
{
    int (*mallctl)(const char *, void *, size_t *, void *, size_t) =
        (int (*)(const char *, void *, size_t *, void *, size_t))call;
    mallctl("thread.tcache.flush", NULL, NULL, NULL, 0);
    return mallctl("arena.4096.purge", NULL, NULL, NULL, 0) == 0;
}

static bool trim_mimalloc(uintptr_t call)
{
    ((void (*)(bool))call)(true);
    return true;
}

static bool trim_tcmalloc(uintptr_t call)
{
    ((void (*)(void))call)();
    return true;
}

static const struct trimmer {
    const char *symbol;
    bool (*trim)(uintptr_t call);
} trimmers[] = {
    {"mallctl", trim_jemalloc},
    {"mi_collect", trim_mimalloc},
    {"MallocExtension_ReleaseFreeMemory", trim_tcmalloc},
    {"malloc_trim", trim_glibc}, /* last: some of the others define it too, to do nothing */
};

bool bench_binding_trim(void)
{
    for (size_t i = 0; i < sizeof(trimmers) / sizeof(trimmers[0]); i++) {
        uintptr_t call = own_call(trimmers[i].symbol);
        if (call != 0)
            return trimmers[i].trim(call);
    }
    return false;
}

const char *bench_binding_library(void)
{
    const char *path = library_of("malloc");
    if (path == NULL)
        return "unknown";
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}
