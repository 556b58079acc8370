/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * x86-64. Statements rather than a .S file, since what is inlined spares a call, keeps its constants in registers and
 * lets the compiler schedule around it. pop returns a value, hence no `asm goto`, whose outputs compilers still in use
 * get wrong; NULL stands for failure.
 *
 * The signature before each abort handler is what glibc registered, 0x53053053. It is the displacement of an undefined
 * instruction, ud1, so that it cannot be run by accident nor confuse a disassembler.
 */
#ifndef AOMA_PERCPU_SECTIONS_ARCH_H
#define AOMA_PERCPU_SECTIONS_ARCH_H

#define AOMA_TEXT_(x) #x
#define AOMA_TEXT(x) AOMA_TEXT_(x)

/* struct rseq_cs: version, flags, start, length, abort. Labels: 1 start, 2 behind the commit, 4 abort handler. */
#define AOMA_SECTION_DESCRIPTOR                                                                                        \
    ".pushsection .data.rel.ro.aoma_rseq_cs, \"aw\"\n\t"                                                               \
    ".balign 32\n"                                                                                                     \
    "3:\n\t"                                                                                                           \
    ".long 0, 0\n\t"                                                                                                   \
    ".quad 1f, 2f - 1f, 4f\n\t"                                                                                        \
    ".popsection\n\t"

/* A jump to label, with what comes before. */
#define AOMA_SECTION_ABORT(before, label)                                                                              \
    ".pushsection .text.unlikely.aoma_rseq_abort, \"ax\"\n\t"                                                          \
    ".byte 0x0f, 0xb9, 0x3d\n\t"                                                                                       \
    ".long 0x53053053\n"                                                                                               \
    "4:\n\t" before "jmp " label "\n\t"                                                                                \
    ".popsection\n\t"

/* begin and front, with the front in the register of that name. */
#define AOMA_SECTION_FRONT(front, area, id, fronts, fail)                                                              \
    "leaq 3b(%%rip), " front "\n\t"                                                                                    \
    "movq " front ", %%fs:" AOMA_TEXT(AOMA_RSEQ_CS) "(" area ")\n"                                                     \
                                                    "1:\n\t"                                                           \
                                                    "movslq %%fs:(" id "), " front "\n\t"                              \
                                                    "cmpq %[cpus], " front "\n\t"                                      \
                                                    "jae " fail "\n\t"                                                 \
                                                    "movq (" fronts "," front ",8), " front "\n\t"                     \
                                                    "testq " front ", " front "\n\t"                                   \
                                                    "jz " fail "\n\t"

/* Copies left pointers, the last ones first, as long as there are four, four at once. half: left, 32 bits wide; at
 * least 1, and 0 in the end. */
#define AOMA_SECTION_COPY(from, to, left, half, scratch)                                                               \
    "subl $4, " half "\n\t"                                                                                            \
    "jb 7f\n"                                                                                                          \
    "6:\n\t"                                                                                                           \
    "movups 16(" from "," left ",8), %%xmm0\n\t"                                                                       \
    "movups (" from "," left ",8), %%xmm1\n\t"                                                                         \
    "movups %%xmm0, 16(" to "," left ",8)\n\t"                                                                         \
    "movups %%xmm1, (" to "," left ",8)\n\t"                                                                           \
    "subl $4, " half "\n\t"                                                                                            \
    "jae 6b\n"                                                                                                         \
    "7:\n\t"                                                                                                           \
    "addl $4, " half "\n\t"                                                                                            \
    "jz 9f\n"                                                                                                          \
    "8:\n\t"                                                                                                           \
    "movq -8(" from "," left ",8), " scratch "\n\t"                                                                    \
    "movq " scratch ", -8(" to "," left ",8)\n\t"                                                                      \
    "decl " half "\n\t"                                                                                                \
    "jnz 8b\n"                                                                                                         \
    "9:\n\t"

_Static_assert(offsetof(struct aoma_front_stack, bottom) == 4, "as in the sections");
_Static_assert(offsetof(struct aoma_front_stack, end) == 6, "as in the sections");

AOMA_INLINE bool aoma_sections_exist(void)
{
    return true;
}

AOMA_INLINE void *aoma_section_pop(intptr_t area, intptr_t id, unsigned class)
{
    uintptr_t front, top;
    void *block;

    __asm__ volatile(AOMA_SECTION_DESCRIPTOR AOMA_SECTION_FRONT(
                         "%[front]", "%[area]", "%[id]", "%[fronts]",
                         "6f") "movl (%[front],%[class],8), %k[top]\n\t"
                               "cmpw 4(%[front],%[class],8), %w[top]\n\t"
                               "jbe 6f\n\t"
                               "movq -8(%[front],%[top],8), %[block]\n\t"
                               "decl %k[top]\n\t"
                               "movl %k[top], (%[front],%[class],8)\n" /* the commit */
                               "2:\n\t"
                               "movq -8(%[front],%[top],8), %[front]\n\t"
                               "prefetchw (%[front])\n"
                               "5:\n\t" AOMA_SECTION_ABORT("6:\n\txorl %k[block], %k[block]\n\t", "5b")
                     : [front] "=&r"(front), [top] "=&r"(top), [block] "=&r"(block)
                     : [area] "r"(area), [id] "r"(id), [class] "r"((uintptr_t) class), [fronts] "r"(aoma_fronts),
                       [cpus] "i"(AOMA_NUMBERS)
                     : "memory", "cc");
    return block;
}

AOMA_INLINE bool aoma_section_push(intptr_t area, intptr_t id, unsigned class, void *block)
{
    __asm__ goto(
        AOMA_SECTION_DESCRIPTOR AOMA_SECTION_FRONT("%%r10", "%[area]", "%[id]", "%[fronts]",
                                                   "%l[fail]") "movl (%%r10,%[class],8), %%r11d\n\t"
                                                               "cmpw 6(%%r10,%[class],8), %%r11w\n\t"
                                                               "jae %l[fail]\n\t"
                                                               "movq %[block], (%%r10,%%r11,8)\n\t"
                                                               "incl %%r11d\n\t"
                                                               "movl %%r11d, (%%r10,%[class],8)\n" /* the commit */
                                                               "2:\n\t" AOMA_SECTION_ABORT("", "%l[fail]")
        :
        : [area] "r"(area), [id] "r"(id), [class] "r"((uintptr_t) class), [block] "r"(block), [fronts] "r"(aoma_fronts),
          [cpus] "i"(AOMA_NUMBERS)
        : "r10", "r11", "memory", "cc"
        : fail);
    return true;
fail:
    return false;
}

AOMA_INLINE unsigned aoma_section_pop_batch(intptr_t area, intptr_t id, unsigned class, void **blocks, unsigned n)
{
    uintptr_t front, top, count, slots, left, block;

    __asm__ volatile(AOMA_SECTION_DESCRIPTOR "xorl %k[count], %k[count]\n\t" AOMA_SECTION_FRONT(
                         "%[front]", "%[area]", "%[id]", "%[fronts]",
                         "5f") "movl (%[front],%[class],8), %k[top]\n\t"
                               "movzwl 4(%[front],%[class],8), %k[left]\n\t"
                               "movl %k[top], %k[count]\n\t"
                               "subl %k[left], %k[count]\n\t"
                               "jz 5f\n\t"
                               "cmpl %[n], %k[count]\n\t"
                               "cmoval %[n], %k[count]\n\t"
                               "subl %k[count], %k[top]\n\t"
                               "leaq (%[front],%[top],8), %[slots]\n\t"
                               "movl %k[count], %k[left]\n\t" AOMA_SECTION_COPY(
                                   "%[slots]", "%[blocks]", "%[left]", "%k[left]",
                                   "%[block]") "movl %k[top], (%[front],%[class],8)\n" /* the commit */
                                               "2:\n"
                                               "5:\n\t" AOMA_SECTION_ABORT("xorl %k[count], %k[count]\n\t", "5b")
                     : [front] "=&r"(front), [top] "=&r"(top), [count] "=&r"(count), [slots] "=&r"(slots),
                       [left] "=&r"(left), [block] "=&r"(block)
                     : [area] "r"(area), [id] "r"(id), [class] "r"((uintptr_t) class), [blocks] "r"(blocks), [n] "r"(n),
                       [fronts] "r"(aoma_fronts), [cpus] "i"(AOMA_NUMBERS)
                     : "xmm0", "xmm1", "memory", "cc");
    return (unsigned)count;
}

AOMA_INLINE bool aoma_section_push_batch(intptr_t area, intptr_t id, unsigned class, void *const *blocks, unsigned n)
{
    __asm__ goto(AOMA_SECTION_DESCRIPTOR AOMA_SECTION_FRONT(
                     "%%rax", "%[area]", "%[id]", "%[fronts]",
                     "%l[fail]") "movl (%%rax,%[class],8), %%ecx\n\t"
                                 "movzwl 6(%%rax,%[class],8), %%edx\n\t"
                                 "leal (%%rcx,%q[n]), %%r8d\n\t" /* the new top */
                                 "cmpl %%edx, %%r8d\n\t"
                                 "ja %l[fail]\n\t"
                                 "leaq (%%rax,%%rcx,8), %%rdx\n\t" /* the first free slot */
                                 "movl %[n], %%ecx\n\t" AOMA_SECTION_COPY(
                                     "%[blocks]", "%%rdx", "%%rcx", "%%ecx",
                                     "%%r9") "movl %%r8d, (%%rax,%[class],8)\n" /* the commit */
                                             "2:\n\t" AOMA_SECTION_ABORT("", "%l[fail]")
                 :
                 : [area] "r"(area), [id] "r"(id), [class] "r"((uintptr_t) class), [blocks] "r"(blocks), [n] "r"(n),
                   [fronts] "r"(aoma_fronts), [cpus] "i"(AOMA_NUMBERS)
                 : "rax", "rcx", "rdx", "r8", "r9", "xmm0", "xmm1", "memory", "cc"
                 : fail);
    return true;
fail:
    return false;
}

#endif /* AOMA_PERCPU_SECTIONS_ARCH_H */
