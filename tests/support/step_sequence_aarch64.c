/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * A store-exclusive fails when an exception came after the load-exclusive, and each step is one. So such a sequence
 * runs undisturbed, up to breakpoints behind the store and where a branch leads out of it. They are the processor's,
 * which belong to a thread: no instruction changes that another thread may come by. (A handler in the middle of a
 * sequence would find what it finds in front of it, and the sequence begins again.)
 */

#define _GNU_SOURCE
#include "step_tracer.h"

#include <elf.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>

#include <asm/ptrace.h>

enum { SEQUENCE_MAX = 16, ENDS_MAX = 4, INSTRUCTION_BYTES = 4 };

/* BCR: enabled, in user mode, all four bytes. */
enum { BREAK_CONTROL = 1 | 2 << 1 | 0xf << 5 };

/* Exclusives, without what else is coded alike: compare-and-swap of pairs, and loads and stores that only order. */
static bool is_exclusive(uint32_t instruction)
{
    bool is_pair_of_words = (instruction & 0x80200000) == 0x00200000;

    return (instruction & 0x3f800000) == 0x08000000 && !is_pair_of_words;
}

static bool is_load_exclusive(uint32_t instruction)
{
    return is_exclusive(instruction) && instruction & 1u << 22;
}

static bool is_store_exclusive(uint32_t instruction)
{
    return is_exclusive(instruction) && !(instruction & 1u << 22);
}

/* Bytes, from a number of instructions in the bits from `low` on. */
static ptrdiff_t distance(uint32_t instruction, unsigned low, unsigned bits)
{
    uint64_t field = instruction >> low & ((1u << bits) - 1);

    return (ptrdiff_t)((int64_t)(field << (64 - bits)) >> (64 - bits)) * INSTRUCTION_BYTES;
}

/* Where a branch may lead; 0: no branch. */
static ptrdiff_t branch_of(uint32_t instruction)
{
    if ((instruction & 0xff000000) == 0x54000000 || (instruction & 0x7e000000) == 0x34000000)
        return distance(instruction, 5, 19); /* b.cond, cbz, cbnz */
    if ((instruction & 0x7e000000) == 0x36000000)
        return distance(instruction, 5, 14); /* tbz, tbnz */
    if ((instruction & 0xfc000000) == 0x14000000)
        return distance(instruction, 0, 26); /* b */
    return 0;
}

/* Returns how many; 0: no such sequence. */
static size_t find_ends(const uint32_t *code, size_t count, uintptr_t address, uintptr_t ends[ENDS_MAX])
{
    size_t length = 1, found = 0;

    if (count == 0 || !is_load_exclusive(code[0]))
        return 0;
    while (length < count && !is_store_exclusive(code[length]))
        length++;
    if (length == count)
        return 0;
    ends[found++] = address + (length + 1) * INSTRUCTION_BYTES;
    for (size_t i = 1; i < length; i++) {
        uintptr_t target = address + i * INSTRUCTION_BYTES + (uintptr_t)branch_of(code[i]);
        if (target - address < (length + 1) * INSTRUCTION_BYTES)
            continue;
        if (found == ENDS_MAX)
            return 0;
        ends[found++] = target;
    }
    return found;
}

static bool set_breakpoints(pid_t thread, const uintptr_t *ends, size_t count)
{
    struct user_hwdebug_state state = {0};
    struct iovec vector = {&state, offsetof(struct user_hwdebug_state, dbg_regs) + ENDS_MAX * sizeof state.dbg_regs[0]};

    for (size_t i = 0; i < count; i++) {
        state.dbg_regs[i].addr = ends[i];
        state.dbg_regs[i].ctrl = BREAK_CONTROL;
    }
    return ptrace(PTRACE_SETREGSET, thread, (void *)NT_ARM_HW_BREAK, &vector) == 0;
}

bool step_sequence_begins(pid_t thread)
{
    uint32_t code[SEQUENCE_MAX];
    uintptr_t ends[ENDS_MAX];
    struct user_regs_struct registers;
    struct iovec vector = {&registers, sizeof registers};

    if (ptrace(PTRACE_GETREGSET, thread, (void *)NT_PRSTATUS, &vector) != 0)
        return false;
    uintptr_t address = (uintptr_t)registers.pc;
    struct iovec here = {code, sizeof code}, there = {(void *)address, sizeof code};
    ssize_t bytes = process_vm_readv(thread, &here, 1, &there, 1, 0);
    size_t count = find_ends(code, bytes > 0 ? (size_t)bytes / sizeof code[0] : 0, address, ends);
    return count > 0 && set_breakpoints(thread, ends, count);
}

void step_sequence_ended(pid_t thread)
{
    set_breakpoints(thread, NULL, 0);
}
