/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* Runs a fuzz target on files, and on those of folders, in the order of their names, without a fuzzer. */
#define _GNU_SOURCE
#include "mremap.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_BYTES = 1 << 16, SKIPPED = 77 };

static unsigned inputs;

static void fail(const char *path)
{
    perror(path);
    exit(EXIT_FAILURE);
}

/* Printed first, so that who looks at a failure sees which it was. */
static void replay_file(const char *path)
{
    static uint8_t data[INPUT_BYTES];
    FILE *file = fopen(path, "rb");

    if (!file)
        fail(path);
    size_t size = fread(data, 1, sizeof data, file);
    fclose(file);
    printf("%s\n", path);
    fflush(stdout);
    LLVMFuzzerTestOneInput(data, size);
    inputs++;
}

static void replay_folder(const char *path)
{
    struct dirent **entries;
    int count = scandir(path, &entries, NULL, alphasort);

    if (count < 0)
        fail(path);
    for (int i = 0; i < count; i++) {
        char name[4096];
        snprintf(name, sizeof name, "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.')
            replay_file(name);
        free(entries[i]);
    }
    free(entries);
}

/* Where it cannot, what it takes away is in the targets' range of addresses, and in use. */
static bool can_shorten(void)
{
    int status;
    pid_t child = fork();

    if (child == 0)
        _exit(mremap_shortens_soundly() ? EXIT_SUCCESS : EXIT_FAILURE);
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

int main(int argc, char **argv)
{
    struct stat status;

    if (!can_shorten()) {
        puts("skipped: mremap() takes away what follows the memory that it shortens");
        return SKIPPED;
    }
    for (int i = 1; i < argc; i++) {
        if (stat(argv[i], &status) != 0)
            fail(argv[i]);
        if (S_ISDIR(status.st_mode))
            replay_folder(argv[i]);
        else
            replay_file(argv[i]);
    }
    printf("%u inputs\n", inputs);
    return inputs ? EXIT_SUCCESS : EXIT_FAILURE;
}
