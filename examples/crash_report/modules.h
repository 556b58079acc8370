/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */
/*
 * The executable and the shared objects that are mapped, taken from /proc/self/maps and from the ELF headers in memory.
 *
 * dl_iterate_phdr(3) would tell the same, but under the loader's lock: a thread that holds it in dlopen(3) may itself
 * wait for a malloc lock that the crashed thread holds. libunwind calls dl_iterate_phdr for every frame; so this
 * shared object defines that function, too, and answers the reporting thread from the list made here, without a
 * lock. All other calls go to the C library.
 */
#ifndef CRASH_REPORT_MODULES_H
#define CRASH_REPORT_MODULES_H

#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef ElfW(Ehdr) elf_header;
typedef ElfW(Phdr) elf_segment;
typedef ElfW(Shdr) elf_section;
typedef ElfW(Sym) elf_symbol;
typedef ElfW(Nhdr) elf_note;

struct report;

struct module {
    struct module *next;
    char *path;
    uintptr_t start; /* of the mapping that holds the ELF header */
    uintptr_t end;   /* of the last mapping of the file; there may be gaps */
    uintptr_t headers_end;
    bool executable;
    uintptr_t bias; /* address in memory minus address in the file */
    const elf_segment *program_headers;
    size_t program_header_count;
    const unsigned char *build_id; /* in memory; NULL: none */
    size_t build_id_bytes;
    const unsigned char *image; /* the whole file, mapped when the first symbol is looked for */
    size_t image_bytes;
    bool image_tried;
};

void modules_read(struct report *report);
void modules_destroy(struct module *modules);
struct module *modules_find(struct module *modules, uintptr_t address);

/* From now on dl_iterate_phdr gives this list to the calling thread; modules_show_all ends that. */
void modules_show(const struct module *modules);
void modules_show_all(void);

/* Keeps what is loaded now for a report that cannot read /proc/self/maps. */
void modules_remember(void);

/* Finds the C library's dl_iterate_phdr while it is safe to do so. */
void modules_install(void);

#endif
