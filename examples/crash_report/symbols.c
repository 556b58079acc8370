/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */
#include "symbols.h"

#include <elf.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "modules.h"

struct table {
    const elf_symbol *symbols;
    size_t count;
    const char *strings;
    size_t strings_bytes;
};

/* The file may have been replaced since it was loaded: then its header, which says where sections are, differs. */
static void map_image(struct module *module)
{
    struct stat status;
    int fd = open(module->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    if (fstat(fd, &status) == 0 && status.st_size >= (off_t)sizeof(elf_header)) {
        void *image = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (image != MAP_FAILED && memcmp(image, (const void *)module->start, sizeof(elf_header)) == 0) {
            module->image = image;
            module->image_bytes = (size_t)status.st_size;
        } else if (image != MAP_FAILED) {
            munmap(image, (size_t)status.st_size);
        }
    }
    close(fd);
}

static void find_image(struct module *module)
{
    if (module->image_tried)
        return;
    module->image_tried = true;
    if (module->path[0] == '/') {
        map_image(module);
    } else { /* the vDSO is wholly in memory, sections included */
        module->image = (const unsigned char *)module->start;
        module->image_bytes = module->end - module->start;
    }
}

/* NULL unless count objects of size bytes at offset lie within the file. */
static const void *inside(const struct module *module, uint64_t offset, uint64_t count, uint64_t size)
{
    if (offset > module->image_bytes || (size && count > (module->image_bytes - offset) / size))
        return NULL;
    return module->image + offset;
}

static struct table read_table(const struct module *module, const elf_section *sections, size_t count,
                               const elf_section *section)
{
    struct table table = {0};
    if (section->sh_link >= count || section->sh_entsize != sizeof(elf_symbol))
        return table;
    const elf_section *strings = &sections[section->sh_link];
    table.symbols = inside(module, section->sh_offset, section->sh_size, 1);
    table.strings = inside(module, strings->sh_offset, strings->sh_size, 1);
    table.strings_bytes = strings->sh_size;
    if (table.symbols && table.strings)
        table.count = section->sh_size / sizeof(elf_symbol);
    return table;
}

static struct table find_table(const struct module *module, uint32_t type)
{
    const elf_header *header = (const void *)module->image;
    const elf_section *sections = inside(module, header->e_shoff, header->e_shnum, sizeof(*sections));
    if (sections && header->e_shentsize == sizeof(*sections))
        for (size_t i = 0; i < header->e_shnum; i++)
            if (sections[i].sh_type == type)
                return read_table(module, sections, header->e_shnum, &sections[i]);
    return (struct table){0};
}

static bool covers(const elf_symbol *symbol, uintptr_t value)
{
    unsigned type = symbol->st_info & 0xf;
    return (type == STT_FUNC || type == STT_GNU_IFUNC) && symbol->st_shndx != SHN_UNDEF && value >= symbol->st_value &&
           value - symbol->st_value < symbol->st_size;
}

static struct symbol search(const struct table *table, uintptr_t value)
{
    for (size_t i = 0; i < table->count; i++) {
        const elf_symbol *symbol = &table->symbols[i];
        if (!covers(symbol, value) || symbol->st_name >= table->strings_bytes)
            continue;
        const char *name = table->strings + symbol->st_name;
        if (memchr(name, '\0', table->strings_bytes - symbol->st_name))
            return (struct symbol){.name = name, .offset = value - symbol->st_value};
    }
    return (struct symbol){0};
}

struct symbol symbols_find(struct module *module, uintptr_t address)
{
    static const uint32_t types[] = {SHT_SYMTAB, SHT_DYNSYM};
    struct symbol symbol = {0};
    find_image(module);
    for (size_t i = 0; module->image && !symbol.name && i < sizeof(types) / sizeof(types[0]); i++) {
        struct table table = find_table(module, types[i]);
        symbol = search(&table, address - module->bias);
    }
    return symbol;
}
