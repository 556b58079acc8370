/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */
#include "output.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "report_json.h"
#include "text.h"

static char pattern[PATH_MAX] = "crash_report.%p.json";

void output_install(void)
{
    /* getenv is not safe in a handler; a program with more rights than its user must not write where the user says. */
    const char *wish = secure_getenv("CRASH_REPORT_FILE");
    if (wish && *wish) {
        struct text text = text_on(pattern, sizeof(pattern));
        text_string(&text, wish);
    }
}

/* &N: a descriptor that the program was started with, for programs that may not open files any more. */
static int open_inherited(const char *digits)
{
    int fd = 0;
    for (; *digits >= '0' && *digits <= '9' && fd < 100000; digits++)
        fd = fd * 10 + (*digits - '0');
    return fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

int output_open(void)
{
    if (pattern[0] == '&')
        return open_inherited(pattern + 1);
    char path[PATH_MAX];
    struct text text = text_on(path, sizeof(path));
    for (const char *from = pattern; *from; from++) {
        if (from[0] == '%' && from[1] == 'p') {
            text_decimal(&text, getpid());
            from++;
        } else {
            text_char(&text, *from);
        }
    }
    return open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0600);
}

void output_write(int fd, const struct report *report, bool complete)
{
    struct stat status;
    bool replaceable = fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
    if (!complete && !replaceable)
        return;
    if (replaceable)
        lseek(fd, 0, SEEK_SET);
    report_json_write(fd, report, complete);
    if (replaceable)
        (void)!ftruncate(fd, lseek(fd, 0, SEEK_CUR));
}
