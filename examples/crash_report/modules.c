/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */
#include "modules.h"

#include <string.h>
#include <sys/mman.h>

#include "alloc.h"
#include "procfs.h"
#include "report.h"
#include "text.h"

struct mapping {
    uintptr_t start, end, offset;
    bool readable, executable;
    char *path;
};

/* What was loaded when the program started, for programs that shut themselves off from /proc (Landlock, chroot). */
static struct module *at_start;

struct reader {
    struct module *first;
    struct module *last;
    bool out_of_memory;
};

/* The kernel writes a newline in a path as \012 and leaves every other byte as it is. */
static void decode_path(char *path)
{
    char *to = path;
    for (const char *from = path; *from; to++) {
        bool newline = memcmp(from, "\\012", strnlen(from, 4)) == 0;
        *to = *from;
        if (newline)
            *to = '\n';
        from += newline ? 4 : 1;
    }
    *to = '\0';
}

/* start-end perms offset device inode     path */
static bool parse_mapping(char *line, struct mapping *mapping)
{
    const char *cursor = line;
    mapping->start = text_read_hex(&cursor);
    mapping->end = text_read_hex(&cursor);
    if (strnlen(cursor, 5) < 5)
        return false;
    mapping->readable = cursor[0] == 'r';
    mapping->executable = cursor[2] == 'x';
    cursor += 5;
    mapping->offset = text_read_hex(&cursor);
    for (int field = 0; field < 2; field++)
        cursor += strcspn(cursor, " ") + strspn(cursor + strcspn(cursor, " "), " ");
    mapping->path = line + (cursor - line);
    decode_path(mapping->path);
    return mapping->path[0] == '/' || strcmp(mapping->path, "[vdso]") == 0;
}

static bool begin_module(struct reader *reader, const struct mapping *mapping)
{
    struct module *module = report_alloc(sizeof(*module));
    char *path = text_copy(mapping->path);
    if (!module || !path) {
        report_free(module);
        report_free(path);
        reader->out_of_memory = true;
        return false;
    }
    *module = (struct module){
        .path = path,
        .start = mapping->start,
        .end = mapping->end,
        .headers_end = mapping->end,
        .executable = mapping->executable,
    };
    *(reader->last ? &reader->last->next : &reader->first) = module;
    reader->last = module;
    return true;
}

static bool add_mapping(char *line, void *argument)
{
    struct reader *reader = argument;
    struct mapping mapping;
    if (!parse_mapping(line, &mapping))
        return true;
    if (mapping.offset == 0 && mapping.readable)
        return begin_module(reader, &mapping);
    if (reader->last && strcmp(reader->last->path, mapping.path) == 0) {
        reader->last->end = mapping.end;
        reader->last->executable |= mapping.executable;
    }
    return true;
}

/* Notes are 4-byte aligned in p_align 4 and the usual p_align 8 segments alike when each field is rounded up so. */
static void find_build_id(struct module *module, const elf_segment *segment)
{
    const unsigned char *note = (const unsigned char *)(module->bias + segment->p_vaddr);
    const unsigned char *end = note + segment->p_memsz;
    if ((uintptr_t)note < module->start || (uintptr_t)end > module->end)
        return;
    while (note + sizeof(elf_note) <= end) {
        const elf_note *header = (const void *)note;
        const unsigned char *name = note + sizeof(*header);
        const unsigned char *content = name + ((header->n_namesz + 3) & ~3u);
        note = content + ((header->n_descsz + 3) & ~3u);
        if (note > end)
            return;
        if (header->n_type == NT_GNU_BUILD_ID && header->n_namesz == 4 && memcmp(name, "GNU", 4) == 0) {
            module->build_id = content;
            module->build_id_bytes = header->n_descsz;
        }
    }
}

/* False: not an ELF file of this kind of machine, or its headers are not in memory. */
static bool read_headers(struct module *module)
{
    const elf_header *header = (const void *)module->start;
    const elf_segment *load = NULL;
    if (!module->executable || module->headers_end - module->start < sizeof(*header) ||
        memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 || header->e_phentsize != sizeof(*load) ||
        header->e_phoff + header->e_phnum * sizeof(*load) > module->headers_end - module->start)
        return false;
    module->program_headers = (const void *)(module->start + header->e_phoff);
    module->program_header_count = header->e_phnum;
    for (size_t i = 0; i < module->program_header_count && !load; i++)
        if (module->program_headers[i].p_type == PT_LOAD)
            load = &module->program_headers[i];
    if (!load)
        return false;
    module->bias = module->start - (load->p_vaddr - load->p_offset);
    for (size_t i = 0; i < module->program_header_count; i++)
        if (module->program_headers[i].p_type == PT_NOTE)
            find_build_id(module, &module->program_headers[i]);
    return true;
}

static void destroy_module(struct module *module)
{
    if (module->image && (uintptr_t)module->image != module->start)
        munmap((void *)module->image, module->image_bytes);
    report_free(module->path);
    report_free(module);
}

/* Files that are merely read through a mapping are dropped; only those with code in memory are looked into. */
static void keep_loaded(struct module **link)
{
    while (*link) {
        struct module *module = *link;
        if (read_headers(module)) {
            link = &module->next;
        } else {
            *link = module->next;
            destroy_module(module);
        }
    }
}

/* Returns what is wrong, NULL: nothing. */
static const char *read_maps(struct module **modules)
{
    struct reader reader = {0};
    bool could_read = procfs_each_line("/proc/self/maps", add_mapping, &reader);
    keep_loaded(&reader.first);
    *modules = reader.first;
    return !could_read ? "cannot read /proc/self/maps" : reader.out_of_memory ? "out of memory" : NULL;
}

void modules_read(struct report *report)
{
    const char *problem = read_maps(&report->modules);
    if (problem)
        report_problem(report, problem);
    if (!report->modules)
        report->modules = at_start;
}

void modules_remember(void)
{
    read_maps(&at_start);
}

void modules_destroy(struct module *modules)
{
    while (modules && modules != at_start) {
        struct module *next = modules->next;
        destroy_module(modules);
        modules = next;
    }
}

struct module *modules_find(struct module *modules, uintptr_t address)
{
    for (struct module *module = modules; module; module = module->next)
        if (address >= module->start && address < module->end)
            return module;
    return NULL;
}
