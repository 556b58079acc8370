/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */
/* dl_iterate_phdr for the reporting thread; see modules.h for why. */
#include <dlfcn.h>
#include <link.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "modules.h"

typedef int phdr_callback(struct dl_phdr_info *info, size_t bytes, void *argument);
typedef int phdr_iterator(phdr_callback *callback, void *argument);

static _Atomic(phdr_iterator *) libc_iterator;
static _Atomic pid_t shown_to; /* thread that gets shown; 0: none */
static const struct module *shown;

void modules_show(const struct module *modules)
{
    shown = modules;
    atomic_store(&shown_to, gettid());
}

void modules_show_all(void)
{
    atomic_store(&shown_to, 0);
}

void modules_install(void)
{
    void *symbol = dlsym(RTLD_NEXT, "dl_iterate_phdr");
    phdr_iterator *iterator;
    memcpy(&iterator, &symbol, sizeof(iterator));
    atomic_store(&libc_iterator, iterator);
}

static int iterate_shown(phdr_callback *callback, void *argument)
{
    int result = 0;
    for (const struct module *module = shown; module && result == 0; module = module->next) {
        struct dl_phdr_info info = {
            .dlpi_addr = module->bias,
            .dlpi_name = module->path,
            .dlpi_phdr = module->program_headers,
            .dlpi_phnum = (ElfW(Half))module->program_header_count,
            .dlpi_adds = 1, /* never the same as the loader's counts, so that nobody's cache is taken for current */
        };
        result = callback(&info, sizeof(info), argument);
    }
    return result;
}

__attribute__((visibility("default"))) int dl_iterate_phdr(phdr_callback *callback, void *argument)
{
    pid_t tid = atomic_load(&shown_to);
    if (tid != 0 && tid == gettid())
        return iterate_shown(callback, argument);
    if (!atomic_load(&libc_iterator)) /* called from a constructor that ran before ours */
        modules_install();
    phdr_iterator *iterator = atomic_load(&libc_iterator);
    return iterator ? iterator(callback, argument) : 0;
}
