/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

#include "library.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LIBRARY_NAME "libaomalloc-preload"
#define LIBRARY_SEPARATORS ": "

static bool exists_in(const char *directory, const char *variant, char path[PATH_MAX])
{
    int length = snprintf(path, PATH_MAX, "%s/" LIBRARY_NAME "-%s.so", directory, variant);

    return length < PATH_MAX && access(path, R_OK) == 0;
}

/* The directory that this program is in, "" if unknown. */
static void own_directory(char directory[PATH_MAX])
{
    ssize_t length = readlink("/proc/self/exe", directory, PATH_MAX - 1);

    directory[length > 0 ? length : 0] = '\0';
    char *slash = strrchr(directory, '/');
    if (slash)
        *slash = '\0';
}

/* Turns PREFIX/bin into PREFIX/lib, wherever PREFIX is now; false if directory is no such. */
static bool beside(char directory[PATH_MAX])
{
    size_t length = strlen(directory), suffix = strlen("/" RUN_BINDIR);

    if (length < suffix || strcmp(directory + length - suffix, "/" RUN_BINDIR) != 0)
        return false;
    return snprintf(directory + length - suffix, PATH_MAX - (length - suffix), "/%s", RUN_LIBDIR) <
           (int)(PATH_MAX - (length - suffix));
}

/* Installed, perhaps elsewhere than planned; or in a build directory; or, at last, where it was to be installed. */
bool library_find(const char *variant, char path[PATH_MAX])
{
    char directory[PATH_MAX];

    own_directory(directory);
    return exists_in(directory, variant, path) || (beside(directory) && exists_in(directory, variant, path)) ||
           exists_in(RUN_PLANNED_LIBDIR, variant, path);
}

bool library_can_be_named(const char *path)
{
    return strpbrk(path, LIBRARY_SEPARATORS) == NULL;
}

static bool is_ours(const char *entry, size_t length)
{
    const char *name = entry + length;

    while (name > entry && name[-1] != '/')
        name--;
    return strncmp(name, LIBRARY_NAME, strlen(LIBRARY_NAME)) == 0;
}

bool library_preload(const char *path)
{
    const char *old = getenv("LD_PRELOAD");
    char *list = malloc(strlen(path) + (old ? strlen(old) : 0) + 2);

    if (!list)
        return false;
    char *end = stpcpy(list, path);
    while (old && *old) {
        size_t length = strcspn(old, LIBRARY_SEPARATORS);
        if (length && !is_ours(old, length)) {
            *end++ = ':';
            end = (char *)memcpy(end, old, length) + length;
        }
        old += length + (old[length] != '\0');
    }
    *end = '\0';
    bool done = setenv("LD_PRELOAD", list, 1) == 0;
    free(list);
    return done;
}
