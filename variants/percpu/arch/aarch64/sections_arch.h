/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * aarch64. Statements, as on x86-64 and for the same reasons. The thread pointer, tpidr_el0, is read before a section:
 * it is the thread's for ever.
 *
 * The signature before each abort handler is what glibc registered. It is an instruction, brk #0x45e0, so that it
 * cannot be run by accident; .inst puts it down as the kernel reads it, in either byte order.
 *
 * Order. No section has a barrier, and none needs one:
 * (1) One CPU sees its own loads and stores in the order of the program, also those of another thread that it ran
 *     before. A number of mm_cid may have been another CPU's before: the scheduler of that CPU had a full barrier
 *     between the last instruction of the thread that had it and its handing on, and to take one is a full atomic.
 * (2) A front that was made or emptied by another CPU is published by the CAS that puts it into aoma_fronts. All that a
 *     section reads and writes of it has an address made of what it read there: an address dependency, after which the
 *     processor can neither read what was there before nor write before it knows.
 * (3) Who detaches a front calls membarrier, which is a full barrier on each CPU that runs a thread of the process; the
 *     others have had one in their schedulers. So it sees all that sections have done, and sections that begin after it
 *     see that the front has gone.
 * (4) What a block holds goes to its next owner by the same ways, and by the release and acquire of transfer places.
 * (5) Who looks into fronts of other CPUs, for double frees, may see a top before the slot below it: front.c asks for
 *     (3) before it believes what it saw.
 */
#ifndef AOMA_PERCPU_SECTIONS_ARCH_H
#define AOMA_PERCPU_SECTIONS_ARCH_H

/*
 * begin and front: the front in x9, the class's stack in x10. Before them the descriptor, struct rseq_cs: version,
 * flags, start, length, abort. Labels: 1 start, 2 behind the commit, 4 abort handler.
 */
#define AOMA_SECTION_BEGIN_OR(fail)                                                                                    \
    ".pushsection .data.rel.ro.aoma_rseq_cs, \"aw\"\n\t"                                                               \
    ".balign 32\n"                                                                                                     \
    "3:\n\t"                                                                                                           \
    ".long 0, 0\n\t"                                                                                                   \
    ".quad 1f, 2f - 1f, 4f\n\t"                                                                                        \
    ".popsection\n\t"                                                                                                  \
    "adrp x9, 3b\n\t"                                                                                                  \
    "add x9, x9, :lo12:3b\n\t"                                                                                         \
    "str x9, [%[thread], %[cs]]\n"                                                                                     \
    "1:\n\t"                                                                                                           \
    "ldr w9, [%[thread], %[id]]\n\t"                                                                                   \
    "cmp w9, %[cpus]\n\t"                                                                                              \
    "b.hs " fail "\n\t"                                                                                                \
    "ldr x9, [%[fronts], x9, lsl #3]\n\t"                                                                              \
    "cbz x9, " fail "\n\t"                                                                                             \
    "add x10, x9, %[class], lsl #3\n\t"

#define AOMA_SECTION_BEGIN_OR_5 AOMA_SECTION_BEGIN_OR("5f")
#define AOMA_SECTION_BEGIN_OR_FAIL AOMA_SECTION_BEGIN_OR("%l[fail]")

#define AOMA_SECTION_INPUTS                                                                                            \
    [thread] "r"(__builtin_thread_pointer()), [cs] "r"(area + AOMA_RSEQ_CS), [id] "r"(id),                             \
        [class] "r"((uintptr_t) class), [fronts] "r"(aoma_fronts), [cpus] "i"(AOMA_NUMBERS)

#define AOMA_SECTION_CLOBBERS "x9", "x10", "x11", "x12", "memory", "cc"

/* The abort handler: a jump to label, with what comes before. */
#define AOMA_SECTION_ABORT(before, label)                                                                              \
    ".pushsection .text.unlikely.aoma_rseq_abort, \"ax\"\n\t"                                                          \
    ".inst 0xd428bc00\n"                                                                                               \
    "4:\n\t" before "b " label "\n\t"                                                                                  \
    ".popsection\n\t"

_Static_assert(sizeof(void *) == 8, "the sections know pointers of 64 bits only");
_Static_assert(offsetof(struct aoma_front_stack, bottom) == 4, "as in the sections");
_Static_assert(offsetof(struct aoma_front_stack, end) == 6, "as in the sections");

AOMA_INLINE bool aoma_sections_exist(void)
{
    return true;
}

AOMA_INLINE void *aoma_section_pop(intptr_t area, intptr_t id, unsigned class)
{
    void *block = NULL;

    __asm__ volatile(AOMA_SECTION_BEGIN_OR_5 "ldr w11, [x10]\n\t"
                                             "ldrh w12, [x10, #4]\n\t"
                                             "cmp w11, w12\n\t"
                                             "b.ls 5f\n\t"
                                             "sub w11, w11, #1\n\t"
                                             "ldr %[block], [x9, x11, lsl #3]\n\t"
                                             "str w11, [x10]\n" /* the commit */
                                             "2:\n\t"
                                             "sub w11, w11, #1\n\t"
                                             "ldr x12, [x9, x11, lsl #3]\n\t"
                                             "prfm pstl1keep, [x12]\n"
                                             "5:\n\t" AOMA_SECTION_ABORT("mov %[block], xzr\n\t", "5b")
                     : [block] "+&r"(block)
                     : AOMA_SECTION_INPUTS
                     : AOMA_SECTION_CLOBBERS);
    return block;
}

AOMA_INLINE bool aoma_section_push(intptr_t area, intptr_t id, unsigned class, void *block)
{
    __asm__ goto(AOMA_SECTION_BEGIN_OR_FAIL "ldr w11, [x10]\n\t"
                                            "ldrh w12, [x10, #6]\n\t"
                                            "cmp w11, w12\n\t"
                                            "b.hs %l[fail]\n\t"
                                            "str %[block], [x9, x11, lsl #3]\n\t"
                                            "add w11, w11, #1\n\t"
                                            "str w11, [x10]\n" /* the commit */
                                            "2:\n\t" AOMA_SECTION_ABORT("", "%l[fail]")
                 :
                 : AOMA_SECTION_INPUTS, [block] "r"(block)
                 : AOMA_SECTION_CLOBBERS
                 : fail);
    return true;
fail:
    return false;
}

AOMA_INLINE unsigned aoma_section_pop_batch(intptr_t area, intptr_t id, unsigned class, void **blocks, unsigned n)
{
    unsigned count = 0;

    __asm__ volatile(AOMA_SECTION_BEGIN_OR_5 "ldr w11, [x10]\n\t"
                                             "ldrh w12, [x10, #4]\n\t"
                                             "subs %w[count], w11, w12\n\t"
                                             "b.eq 5f\n\t"
                                             "cmp %w[count], %w[n]\n\t"
                                             "csel %w[count], %w[n], %w[count], hi\n\t"
                                             "sub w11, w11, %w[count]\n\t" /* the new top */
                                             "add x9, x9, x11, lsl #3\n\t" /* the first slot to go */
                                             "mov w12, %w[count]\n"
                                             "6:\n\t"
                                             "sub w12, w12, #1\n\t"
                                             "ldr x13, [x9, x12, lsl #3]\n\t"
                                             "str x13, [%[blocks], x12, lsl #3]\n\t"
                                             "cbnz w12, 6b\n\t"
                                             "str w11, [x10]\n" /* the commit */
                                             "2:\n"
                                             "5:\n\t" AOMA_SECTION_ABORT("mov %w[count], wzr\n\t", "5b")
                     : [count] "+&r"(count)
                     : AOMA_SECTION_INPUTS, [blocks] "r"(blocks), [n] "r"(n)
                     : "x13", AOMA_SECTION_CLOBBERS);
    return count;
}

AOMA_INLINE bool aoma_section_push_batch(intptr_t area, intptr_t id, unsigned class, void *const *blocks, unsigned n)
{
    __asm__ goto(AOMA_SECTION_BEGIN_OR_FAIL "ldr w11, [x10]\n\t"
                                            "ldrh w12, [x10, #6]\n\t"
                                            "add w13, w11, %w[n]\n\t" /* the new top */
                                            "cmp w13, w12\n\t"
                                            "b.hi %l[fail]\n\t"
                                            "add x11, x9, x11, lsl #3\n\t" /* the first free slot */
                                            "mov w12, %w[n]\n"
                                            "6:\n\t"
                                            "sub w12, w12, #1\n\t"
                                            "ldr x9, [%[blocks], x12, lsl #3]\n\t"
                                            "str x9, [x11, x12, lsl #3]\n\t"
                                            "cbnz w12, 6b\n\t"
                                            "str w13, [x10]\n" /* the commit */
                                            "2:\n\t" AOMA_SECTION_ABORT("", "%l[fail]")
                 :
                 : AOMA_SECTION_INPUTS, [blocks] "r"(blocks), [n] "r"(n)
                 : "x13", AOMA_SECTION_CLOBBERS
                 : fail);
    return true;
fail:
    return false;
}

#endif /* AOMA_PERCPU_SECTIONS_ARCH_H */
