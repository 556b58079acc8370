/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */
#include "procfs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "alloc.h"
#include "report.h"
#include "text.h"

enum {
    LINE_BYTES = 16384, /* a path of PATH_MAX bytes, each of them a newline written as \012 */
    NAME_BYTES = 64,    /* the kernel's names have at most 15 bytes, those of its own threads some more */
    ENTRIES_BYTES = 2048,
};

/* What getdents64(2) fills in. */
struct entry {
    uint64_t inode;
    int64_t offset;
    unsigned short bytes;
    unsigned char type;
    char name[];
};

static ssize_t read_again(int fd, void *buffer, size_t bytes)
{
    ssize_t got;
    do
        got = read(fd, buffer, bytes);
    while (got < 0 && errno == EINTR);
    return got;
}

/* Hands out the complete lines among the first used bytes and returns how many bytes of an incomplete one remain. */
static size_t visit_lines(char *buffer, size_t used, bool (*visit)(char *, void *), void *argument, bool *more)
{
    char *line = buffer;
    char *newline;
    while (*more && (newline = memchr(line, '\n', (size_t)(buffer + used - line)))) {
        *newline = '\0';
        *more = visit(line, argument);
        line = newline + 1;
    }
    size_t rest = (size_t)(buffer + used - line);
    memmove(buffer, line, rest);
    return rest;
}

bool procfs_each_line(const char *path, bool (*visit)(char *line, void *argument), void *argument)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *buffer = report_alloc(LINE_BYTES);
    bool more = fd >= 0 && buffer;
    bool opened = more;
    size_t used = 0;
    while (more) {
        ssize_t got = read_again(fd, buffer + used, LINE_BYTES - used);
        if (got <= 0)
            break;
        used = visit_lines(buffer, used + (size_t)got, visit, argument, &more);
        if (used == LINE_BYTES) {
            buffer[LINE_BYTES - 1] = '\n';
            used = visit_lines(buffer, used, visit, argument, &more);
        }
    }
    report_free(buffer);
    if (fd >= 0)
        close(fd);
    return opened;
}

static char *read_name(const char *path)
{
    char name[NAME_BYTES];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    ssize_t got = read_again(fd, name, sizeof(name));
    close(fd);
    if (got <= 0)
        return NULL;
    return text_copy_bytes(name, (size_t)(name[got - 1] == '\n' ? got - 1 : got));
}

static char *read_link(const char *path)
{
    char *target = report_alloc(PATH_MAX);
    if (!target)
        return NULL;
    ssize_t got = readlink(path, target, PATH_MAX - 1);
    if (got < 0) {
        report_free(target);
        return NULL;
    }
    target[got] = '\0';
    return target;
}

void procfs_read_program(struct report *report)
{
    char thread_name[16]; /* of the crashed thread, usually the same */
    report->name = read_name("/proc/self/comm");
    if (!report->name && prctl(PR_GET_NAME, thread_name) == 0)
        report->name = text_copy(thread_name);
    report->executable = read_link("/proc/self/exe");
}

static char *read_thread_name(const char *tid)
{
    char path[64];
    struct text text = text_on(path, sizeof(path));
    text_string(&text, "/proc/self/task/");
    text_string(&text, tid);
    text_string(&text, "/comm");
    return read_name(path);
}

static pid_t parse_tid(const char *digits)
{
    pid_t tid = 0;
    while (*digits >= '0' && *digits <= '9')
        tid = tid * 10 + (*digits++ - '0');
    return tid;
}

/* Returns the place for the next thread, NULL when memory is short. */
static struct report_thread **add_thread(struct report_thread **tail, const char *tid)
{
    struct report_thread *thread = report_alloc(sizeof(*thread));
    if (!thread)
        return NULL;
    *thread = (struct report_thread){.tid = parse_tid(tid), .name = read_thread_name(tid)};
    *tail = thread;
    return &thread->next;
}

void procfs_read_threads(struct report *report)
{
    struct report_thread **tail = &report->threads;
    _Alignas(struct entry) char entries[ENTRIES_BYTES];
    int fd = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    long got;
    if (fd < 0)
        report_problem(report, "cannot read /proc/self/task");
    while (fd >= 0 && tail && (got = syscall(SYS_getdents64, fd, entries, sizeof(entries))) > 0) {
        for (long at = 0; tail && at < got;) {
            const struct entry *entry = (const void *)(entries + at);
            at += entry->bytes;
            if (entry->name[0] != '.')
                tail = add_thread(tail, entry->name);
        }
    }
    if (!tail)
        report_problem(report, "out of memory");
    if (fd >= 0)
        close(fd);
}
