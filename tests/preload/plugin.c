/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* To be loaded and unloaded; linked with libaomalloc. Gives out a block of each kind. */

#include <aomalloc.h>

#include <stdlib.h>
#include <string.h>

void *plugin_malloc(void);
void *plugin_ao_malloc(void);
const char *plugin_variant(void);

static __thread char *of_thread;
static char *of_constructor;

__attribute__((constructor)) static void construct(void)
{
    of_constructor = strdup("constructor");
}

__attribute__((destructor)) static void destruct(void)
{
    free(of_constructor);
}

void *plugin_malloc(void)
{
    free(of_thread);
    of_thread = strdup("thread-local, of a library that was loaded late");
    return strdup(of_constructor);
}

void *plugin_ao_malloc(void)
{
    return AO_malloc(100);
}

const char *plugin_variant(void)
{
    return AO_malloc_variant();
}
