/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */
/*
 * What libunwind does inside a handler, and why that is safe (looked at: 1.6 and 1.8):
 * - its one-time initialisation takes a mutex, and the loader binds its calls: unwind_install() gets that done before;
 * - its cache of unwind tables takes a lock: the cache is switched off first, in the handler, so that the program's own
 *   use of libunwind keeps it until then;
 * - it walks the loaded modules with dl_iterate_phdr, which locks: modules.h replaces that for this thread;
 * - it takes memory from a pool of its own, filled by mmap, whose mutex is held for some instructions with all signals
 *   blocked, so that no handler of this thread can find it held. It is the one lock left in this handler: it could
 *   be waited for in vain only if another thread was stopped, or the process forked, within those instructions;
 * - its thread-local variables exist since the thread's start when this object was loaded with the program (LD_PRELOAD
 *   or linked), while after dlopen(3) their first use in a thread would call malloc: do not load this object so;
 * - built with --enable-debug-frame, the default on Arm alone, it also looks for .debug_frame in the files of modules
 *   that have no .eh_frame; no usual compiler makes such modules for Linux, and that way has not been looked at.
 */
#define UNW_LOCAL_ONLY
#include "unwind.h"

#include <libunwind.h>

#include "alloc.h"
#include "modules.h"
#include "report.h"
#include "symbols.h"
#include "text.h"

enum { FRAMES_MAX = 256 };

static bool begin(unw_cursor_t *cursor, const struct report *report)
{
    unw_set_caching_policy(unw_local_addr_space, UNW_CACHE_NONE);
    /* libunwind's context is the kernel's where a signal's is meant, and it only reads it. */
    return unw_init_local2(cursor, (unw_context_t *)(uintptr_t)report->context, UNW_INIT_SIGNAL_FRAME) == 0;
}

void unwind_registers(struct report *report)
{
    struct report_register **tail = &report->registers;
    unw_cursor_t cursor;
    unw_word_t value;
    if (!begin(&cursor, report)) {
        report_problem(report, "libunwind cannot start");
        return;
    }
    for (int i = 0; i <= UNW_TDEP_LAST_REG; i++) {
        if (unw_is_fpreg(i) || unw_get_reg(&cursor, i, &value) != 0)
            continue;
        struct report_register *reg = report_alloc(sizeof(*reg));
        if (!reg) {
            report_problem(report, "out of memory");
            return;
        }
        *reg = (struct report_register){.name = i == UNW_REG_IP ? "pc" : unw_regname(i), .value = value};
        *tail = reg;
        tail = &reg->next;
    }
}

static struct report_frame *add_frame(struct report_frame **tail, unw_cursor_t *cursor, struct report *report)
{
    unw_word_t pc;
    if (unw_get_reg(cursor, UNW_REG_IP, &pc) != 0)
        return NULL;
    struct report_frame *frame = report_alloc(sizeof(*frame));
    if (!frame) {
        report_problem(report, "out of memory");
        return NULL;
    }
    *frame = (struct report_frame){.pc = pc, .interrupted = !report->frames || unw_is_signal_frame(cursor) > 0};
    frame->module = modules_find(report->modules, pc - !frame->interrupted);
    *tail = frame;
    return frame;
}

void unwind_frames(struct report *report)
{
    struct report_frame **tail = &report->frames;
    unw_cursor_t cursor;
    int step = 1;
    modules_show(report->modules);
    if (!begin(&cursor, report))
        step = -1;
    for (int count = 0; step > 0; count++) {
        struct report_frame *frame = add_frame(tail, &cursor, report);
        if (!frame)
            break;
        tail = &frame->next;
        step = unw_step(&cursor);
        if (step > 0 && count + 1 == FRAMES_MAX) {
            report_problem(report, "more frames than are reported");
            break;
        }
    }
    modules_show_all();
    if (step < 0)
        report_problem(report, "the frames' chain is broken");
}

void unwind_symbols(struct report *report)
{
    for (struct report_frame *frame = report->frames; frame; frame = frame->next) {
        struct module *module = modules_find(report->modules, frame->pc - !frame->interrupted);
        if (!module)
            continue;
        /* A call may be its function's last instruction; the return address is then behind the function. */
        struct symbol symbol = symbols_find(module, frame->pc - !frame->interrupted);
        if (!symbol.name)
            continue;
        frame->symbol = text_copy(symbol.name);
        frame->symbol_offset = symbol.offset + !frame->interrupted;
    }
}

/* Unwinds from context, with the program counter set to pc unless that is NULL. */
static void rehearse(unw_context_t *context, const void *pc)
{
    unw_cursor_t cursor;
    if (unw_init_local2(&cursor, context, UNW_INIT_SIGNAL_FRAME) != 0)
        return;
    if (pc)
        unw_set_reg(&cursor, UNW_REG_IP, (unw_word_t)(uintptr_t)pc);
    while (unw_is_signal_frame(&cursor) >= 0 && unw_step(&cursor) > 0)
        ;
}

/*
 * Takes the ways that libunwind has: for code it knows, for data (a smashed stack) and for nowhere (a call through a
 * bad pointer), and, by a block of the stack whose size the compiler does not know, for a frame found by its frame
 * pointer. Besides its initialisation that makes the loader look up all it calls; libunwind is often linked lazily.
 */
void unwind_install(void)
{
    volatile size_t size = sizeof(unw_context_t);
    unw_context_t *context = __builtin_alloca(size);
    const void *ways[] = {NULL, context, (const void *)1};
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
        if (unw_getcontext(context) == 0)
            rehearse(context, ways[i]);
}
