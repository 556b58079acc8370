/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

#include "program.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

enum {
    SCRIPT_LINE_BYTES = 256, /* as much as the kernel looks at */
    SCRIPT_DEPTH = 5,        /* interpreters that are scripts in their turn; the kernel takes one more for a loop */
    PROGRAM_HEADERS_MAX = 128,
};

/* ---- where it is ---- */

static int executable_error(const char *path)
{
    struct stat status;

    if (stat(path, &status) != 0)
        return errno == ENOTDIR ? ENOENT : errno;
    return S_ISREG(status.st_mode) && access(path, X_OK) == 0 ? 0 : EACCES;
}

/* An empty directory is the current one. */
static int join(char *path, const char *directory, size_t length, const char *name)
{
    int written = length ? snprintf(path, PATH_MAX, "%.*s/%s", (int)length, directory, name)
                         : snprintf(path, PATH_MAX, "./%s", name);

    return written < PATH_MAX ? 0 : ENAMETOOLONG;
}

/* A file that may not be executed does not end the search, but is what is told at its end. */
static int find_in(const char *directories, const char *name, char *path)
{
    int result = ENOENT;

    for (const char *at = directories;; at++) {
        size_t length = strcspn(at, ":");
        int error = join(path, at, length, name);

        if (!error)
            error = executable_error(path);
        if (!error)
            return 0;
        if (error == EACCES)
            result = EACCES;
        at += length;
        if (!*at)
            return result;
    }
}

int program_find(const char *name, struct program *program)
{
    const char *directories = getenv("PATH");

    if (!*name)
        return ENOENT;
    if (strlen(name) >= sizeof program->path)
        return ENAMETOOLONG;
    if (strchr(name, '/')) {
        strcpy(program->path, name);
        return executable_error(program->path);
    }
    return find_in(directories ? directories : "/bin:/usr/bin", name, program->path);
}

/* ---- what it is ---- */

/* The beginning of a file. */
struct beginning {
    union {
        ElfW(Ehdr) elf;
        char text[SCRIPT_LINE_BYTES];
    } as;
    int descriptor;
};

static bool open_beginning(const char *path, struct beginning *beginning)
{
    memset(beginning, 0, sizeof *beginning);
    beginning->descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (beginning->descriptor < 0)
        return false;
    ssize_t length = pread(beginning->descriptor, beginning->as.text, sizeof beginning->as.text - 1, 0);
    return length >= 0;
}

static void close_beginning(const struct beginning *beginning)
{
    if (beginning->descriptor >= 0)
        close(beginning->descriptor);
}

static bool is_elf(const struct beginning *beginning)
{
    return memcmp(beginning->as.elf.e_ident, ELFMAG, SELFMAG) == 0;
}

/* The interpreter of a script into path; false: it is none. */
static bool interpreter_of(const struct beginning *beginning, char *path)
{
    const char *name = beginning->as.text + 2;

    if (strncmp(beginning->as.text, "#!", 2) != 0)
        return false;
    name += strspn(name, " \t");
    snprintf(path, PATH_MAX, "%.*s", (int)strcspn(name, " \t\r\n"), name);
    return *path != '\0';
}

/* From the script to the file that the kernel will load; false: it cannot be read. */
static bool follow_scripts(struct program *program, struct beginning *beginning)
{
    strcpy(program->file, program->path);
    for (int depth = 0;; depth++) {
        if (!open_beginning(program->file, beginning))
            return false;
        if (is_elf(beginning) || depth == SCRIPT_DEPTH)
            return true;
        if (!interpreter_of(beginning, program->file)) {
            if (strcmp(program->file, "/bin/sh") == 0)
                return true;
            strcpy(program->file, "/bin/sh"); /* what execvp() does about text without a first line for the kernel */
        }
        close_beginning(beginning);
    }
}

/* The dynamic loader comes in where a program names it. */
static bool is_dynamic(const struct beginning *beginning)
{
    const ElfW(Ehdr) *elf = &beginning->as.elf;
    ElfW(Phdr) headers[PROGRAM_HEADERS_MAX];
    size_t count = elf->e_phnum < PROGRAM_HEADERS_MAX ? elf->e_phnum : PROGRAM_HEADERS_MAX;

    if (elf->e_phentsize != sizeof *headers || pread(beginning->descriptor, headers, count * sizeof *headers,
                                                     (off_t)elf->e_phoff) != (ssize_t)(count * sizeof *headers))
        return false;
    for (size_t i = 0; i < count; i++)
        if (headers[i].p_type == PT_INTERP)
            return true;
    return false;
}

static bool same_processor(const struct beginning *beginning, const char *library)
{
    struct beginning own;
    bool same = open_beginning(library, &own) && own.as.elf.e_ident[EI_CLASS] == beginning->as.elf.e_ident[EI_CLASS] &&
                own.as.elf.e_ident[EI_DATA] == beginning->as.elf.e_ident[EI_DATA] &&
                own.as.elf.e_machine == beginning->as.elf.e_machine;

    close_beginning(&own);
    return same;
}

/*
 * Whether the kernel gives it more rights than its caller has. Then the loader takes nothing from the environment. A
 * file whose owner is the caller gives none, nor does a file system mounted without.
 */
static const char *privileges(const struct beginning *beginning)
{
    struct stat status;
    struct statvfs system;

    if (fstat(beginning->descriptor, &status) != 0 ||
        (fstatvfs(beginning->descriptor, &system) == 0 && (system.f_flag & ST_NOSUID)))
        return NULL;
    if ((status.st_mode & S_ISUID) && status.st_uid != getuid())
        return "set-user-ID, and the dynamic loader takes no LD_PRELOAD with another user's rights";
    if ((status.st_mode & S_ISGID) && (status.st_mode & S_IXGRP) && status.st_gid != getgid())
        return "set-group-ID, and the dynamic loader takes no LD_PRELOAD with another group's rights";
    if (getuid() != 0 && fgetxattr(beginning->descriptor, "security.capability", NULL, 0) > 0)
        return "has file capabilities, and the dynamic loader takes no LD_PRELOAD with those";
    return NULL;
}

const char *program_obstacle(struct program *program, const char *library)
{
    struct beginning beginning;
    const char *reason = NULL;

    if (follow_scripts(program, &beginning)) {
        if (!is_elf(&beginning))
            reason = "not a program of the kind that libraries can be put under (ELF)";
        else if (!same_processor(&beginning, library))
            reason = "for another kind of processor than the library that would be put under it";
        else if (!is_dynamic(&beginning))
            reason = "statically linked, so no library can be put under it";
        else
            reason = privileges(&beginning);
    }
    close_beginning(&beginning);
    return reason;
}
