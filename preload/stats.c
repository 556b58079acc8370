/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * With AOMALLOC_STATS in the environment a process that ends by exit() writes one line about its heap to the standard
 * error that it began with. Without it nothing happens. Neither allocates nor locks: this runs inside every program.
 *
 * Programs close or reuse their descriptors, the standard error included, before destructors run. So a copy is made at
 * the start, out of the way, and at the end the line goes to the copy, or else to descriptor 2, but only if that still
 * is the file that it was: never into a file of the program's.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "aomalloc.h"
#include "run.h"
#include "source.h"

#define STATS_LINE_BYTES 512
#define STATS_COPY_DESCRIPTOR 200 /* or above, where few programs look */

static struct {
    bool wanted;
    int copy;
    dev_t device;
    ino_t inode;
    char name[64]; /* a copy: programs overwrite their arguments, where the C library's name of them is */
} output;

/* ---- counting ---- */

/* Exact while no other thread is inside the library, else a picture of changing words. */
struct usage {
    size_t heap_bytes; /* static heap and mapped segments */
    size_t run_bytes;  /* of these, taken by runs */
    size_t used_bytes; /* of these, in blocks in use; what fronts keep at hand counts as in use */
};

static size_t count_used(const struct aoma_run *run)
{
    uint64_t state = aoma_load_acquire(&run->state);
    unsigned class = aoma_state_class(state);
    unsigned free = 0;

    if (aoma_state_of(state) == AOMA_RUN_EMPTY)
        return 0;
    if (class >= AOMA_CLASSES)
        return (size_t)run->chunks << AOMA_CHUNK_SHIFT;
    for (unsigned i = 0; i < AOMA_RUN_WORDS; i++)
        free += aoma_count_bits(aoma_load_acquire(&run->free[i]));
    return free > aoma_state_count(state) ? 0 : (aoma_state_count(state) - free) * aoma_class_bytes(class);
}

static void count_segment(struct usage *usage, const struct aoma_segment *segment)
{
    uint64_t owned = aoma_load_acquire(&segment->owned);

    usage->heap_bytes += (size_t)aoma_count_bits(owned) << AOMA_CHUNK_SHIFT;
    usage->run_bytes += (size_t)aoma_count_bits(owned & aoma_load_acquire(&segment->taken)) << AOMA_CHUNK_SHIFT;
    for (unsigned i = 0; i < AOMA_SEGMENT_CHUNKS; i++)
        usage->used_bytes += count_used(&segment->run[i]);
}

static struct usage count_usage(void)
{
    struct usage usage = {0};

    for (uint32_t number = 0; number < aoma_segment_numbers(); number++) {
        const struct aoma_segment *segment = aoma_segment_by_number(number);
        if (segment)
            count_segment(&usage, segment);
    }
    return usage;
}

/* ---- the line ---- */

struct line {
    char text[STATS_LINE_BYTES];
    size_t length;
};

/* What does not fit is cut; there is always room for the line's end. */
static void put(struct line *line, const char *text)
{
    while (*text && line->length < sizeof line->text - 1)
        line->text[line->length++] = *text++;
}

static void put_number(struct line *line, size_t value)
{
    char digits[24];
    char *first = &digits[sizeof digits - 1];

    *first = '\0';
    do {
        *--first = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    put(line, first);
}

static void put_figure(struct line *line, const char *name, size_t value)
{
    put(line, " ");
    put(line, name);
    put(line, "=");
    put_number(line, value);
}

/* The kernel's figure of this name in KiB, 0 if there is none. text is that of /proc/self/status. */
static size_t kernel_kib(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    size_t value = 0;

    if (!at)
        return 0;
    for (at += strlen(name); *at == ' ' || *at == '\t'; at++)
        ;
    for (; *at >= '0' && *at <= '9'; at++)
        value = 10 * value + (size_t)(*at - '0');
    return value;
}

/* Not getrusage(): its maximum survives exec, so it may be that of another program. */
static void put_resident(struct line *line)
{
    char text[2048];
    int descriptor = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    ssize_t length = descriptor < 0 ? 0 : read(descriptor, text, sizeof text - 1);

    if (descriptor >= 0)
        close(descriptor);
    if (length <= 0)
        return;
    text[length] = '\0';
    put_figure(line, "resident", 1024 * kernel_kib(text, "\nVmRSS:"));
    put_figure(line, "resident_peak", 1024 * kernel_kib(text, "\nVmHWM:"));
}

static void write_line(int descriptor)
{
    struct usage usage = count_usage();
    struct line line;

    line.length = 0;
    put(&line, "aomalloc: ");
    put(&line, output.name);
    put(&line, "[");
    put_number(&line, (size_t)getpid());
    put(&line, "]: variant=");
    put(&line, AO_malloc_variant());
    put(&line, " mode=\"");
    put(&line, AO_malloc_mode());
    put(&line, "\"");
    put_figure(&line, "mapped", aoma_source_mapped_bytes());
    put_figure(&line, "heap", usage.heap_bytes);
    put_figure(&line, "runs", usage.run_bytes);
    put_figure(&line, "used", usage.used_bytes);
    put_resident(&line);
    line.text[line.length++] = '\n';
    /* One write, so that lines of several processes do not mix. Nothing can be done if it fails. */
    ssize_t written = write(descriptor, line.text, line.length);
    (void)written;
}

/* ---- when ---- */

static bool is_output(int descriptor)
{
    struct stat status;

    return descriptor >= 0 && fstat(descriptor, &status) == 0 && status.st_dev == output.device &&
           status.st_ino == output.inode;
}

/* What the program does to its environment later does not matter. */
__attribute__((constructor)) static void begin(void)
{
    struct stat status;
    int saved = errno;
    const char *wanted = getenv("AOMALLOC_STATS");

    if (wanted && *wanted && fstat(STDERR_FILENO, &status) == 0) {
        output.wanted = true;
        output.device = status.st_dev;
        output.inode = status.st_ino;
        strncpy(output.name, program_invocation_short_name, sizeof output.name - 1);
        output.copy = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STATS_COPY_DESCRIPTOR);
    }
    errno = saved;
}

__attribute__((destructor)) static void end(void)
{
    if (!output.wanted)
        return;
    if (is_output(output.copy))
        write_line(output.copy);
    else if (is_output(STDERR_FILENO))
        write_line(STDERR_FILENO);
}
