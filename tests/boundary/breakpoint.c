/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* For x86-64. */

#define _GNU_SOURCE
#include "breakpoint.h"
#include "child.h"
#include "step.h"
#include "test.h"

#include <errno.h>
#include <link.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

/* <sys/rseq.h> is not everywhere. */
#define RSEQ_SIGNATURE 0x53053053u
enum { RSEQ_UNREGISTER = 1, RSEQ_CPU_ID_START = 0, RSEQ_CPU_ID = 4, RSEQ_MM_CID = 24, RSEQ_BYTES = 32 };
#ifndef AT_RSEQ_FEATURE_SIZE
#define AT_RSEQ_FEATURE_SIZE 27
#endif

extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned __rseq_size __attribute__((weak));

/* ---- where the sections are ---- */

/* struct rseq_cs */
struct section {
    uint32_t version, flags;
    uint64_t start, length, abort;
};

enum { SECTIONS_MAX = 64 };

static struct section sections[SECTIONS_MAX];
static size_t sections_count;

static bool is_code(const struct dl_phdr_info *object, uintptr_t from, uintptr_t to)
{
    for (size_t i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &object->dlpi_phdr[i];
        uintptr_t low = object->dlpi_addr + header->p_vaddr;
        if (header->p_type == PT_LOAD && header->p_flags & PF_X && from >= low && to <= low + header->p_memsz)
            return true;
    }
    return false;
}

static bool is_section(const struct dl_phdr_info *object, const struct section *candidate)
{
    uint32_t signature;

    if (candidate->version || candidate->flags || candidate->length == 0 || candidate->length > 4096 ||
        candidate->start >> 48 || candidate->abort >> 48 ||
        !is_code(object, candidate->start, candidate->start + candidate->length) ||
        !is_code(object, candidate->abort - sizeof signature, candidate->abort))
        return false;
    memcpy(&signature, (const void *)(uintptr_t)(candidate->abort - sizeof signature), sizeof signature);
    return signature == RSEQ_SIGNATURE;
}

/* Descriptors lie 32 bytes apart in what is read-only after relocation. */
static int note_sections(struct dl_phdr_info *object, size_t size, void *argument)
{
    (void)size;
    (void)argument;
    for (size_t i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &object->dlpi_phdr[i];
        uintptr_t low = object->dlpi_addr + header->p_vaddr;

        if (header->p_type != PT_GNU_RELRO)
            continue;
        for (uintptr_t at = (low + 31) & ~(uintptr_t)31; at + 32 <= low + header->p_memsz; at += 32) {
            const struct section *candidate = (const struct section *)at;
            if (sections_count < SECTIONS_MAX && is_section(object, candidate))
                sections[sections_count++] = *candidate;
        }
    }
    return 1; /* the program alone: the library is in it */
}

static bool in_section(uintptr_t address)
{
    for (size_t i = 0; i < sections_count; i++)
        if (address - sections[i].start < sections[i].length)
            return true;
    return false;
}

/* ---- what a call runs through ---- */

static struct breakpoints *finding;
static uintptr_t last_address;

static bool note_instruction(void)
{
    uintptr_t before = last_address;

    last_address = step_address;
    finding->steps++;
    for (size_t i = 0; i < finding->count; i++)
        if (finding->at[i] == step_address)
            return true;
    CHECK(finding->count < BREAKPOINTS_MAX);
    finding->about_section[finding->count] = in_section(step_address) || in_section(before);
    finding->at[finding->count++] = step_address;
    finding->in_sections += in_section(step_address);
    return true;
}

static uint32_t *field(size_t at)
{
    return (uint32_t *)(void *)((char *)__builtin_thread_pointer() + __rseq_offset + at);
}

static bool has_sequences(void)
{
    return &__rseq_size && __rseq_size != 0;
}

/* The numbers stay as they are: nobody else runs in this process. */
static bool forget_sequences(void)
{
    uint32_t kept[RSEQ_BYTES / 4];
    unsigned long size = getauxval(AT_RSEQ_FEATURE_SIZE);

    if (!has_sequences())
        return true;
    memcpy(kept, field(0), sizeof kept);
    if (syscall(SYS_rseq, field(0), RSEQ_BYTES, RSEQ_UNREGISTER, RSEQ_SIGNATURE) != 0 &&
        syscall(SYS_rseq, field(0), size, RSEQ_UNREGISTER, RSEQ_SIGNATURE) != 0)
        return false;
    *field(RSEQ_CPU_ID_START) = kept[RSEQ_CPU_ID_START / 4];
    *field(RSEQ_CPU_ID) = kept[RSEQ_CPU_ID / 4];
    *field(RSEQ_MM_CID) = kept[RSEQ_MM_CID / 4];
    return true;
}

static void find(void *call)
{
    void (*run)(void);

    memcpy(&run, call, sizeof run);
    if (!forget_sequences())
        _exit(TEST_SKIPPED);
    step_with(note_instruction);
    run();
    step_with(NULL);
}

bool breakpoints_exist(void)
{
    return true;
}

bool breakpoints_find(void (*call)(void), struct breakpoints *found)
{
    struct child_result ended;

    if (sections_count == 0)
        dl_iterate_phdr(note_sections, NULL);
    memset(found, 0, sizeof *found);
    finding = found;
    child_run(find, &call, CHILD_STDERR_SHARED, &ended);
    CHECK(ended.status == 0 || WEXITSTATUS(ended.status) == TEST_SKIPPED);
    return ended.status == 0;
}

/* ---- breakpoints ---- */

static volatile unsigned char *planted;
static unsigned char original;
static void (*call_on_break)(void);
static bool hit;

static void on_break(int number, siginfo_t *information, void *argument)
{
    ucontext_t *context = argument;

    (void)number;
    (void)information;
    bool was_aborted = false;
    *planted = original; /* before anything is called: it may be there */
    hit = true;
    int kept = errno;
    /* Behind the trap, unless it was in a section: then the kernel has sent the thread to the abort handler. */
    if (context->uc_mcontext.gregs[REG_RIP] == (greg_t)(uintptr_t)planted + 1)
        context->uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)planted;
    else
        was_aborted = true;
    CHECK(was_aborted == in_section((uintptr_t)planted));
    call_on_break();
    errno = kept;
}

void breakpoint_set(uintptr_t address, void (*function)(void))
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    struct sigaction action;

    call_on_break = function;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_break;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigaction(SIGTRAP, &action, NULL);
    CHECK(mprotect((void *)(address & ~(page - 1)), page, PROT_READ | PROT_WRITE | PROT_EXEC) == 0);
    planted = (volatile unsigned char *)address;
    original = *planted;
    *planted = 0xcc;
}

bool breakpoint_was_hit(void)
{
    return hit;
}
