/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */
/*
 * The signal handler and its installation, by a constructor: loading this object with a program (LD_PRELOAD, or
 * linking) is all there is to do.
 *
 * The handler takes no lock, uses no stdio and allocates with alloc.h alone. It writes a short report first, so that
 * there is one whatever happens later, then replaces it by the full one, and lets the program die of the same
 * signal with the same siginfo as if it had never been here. Every crash, also one inside the handler, ends so.
 *
 * Limits: a thread whose stack overflows needs an alternate stack (sigaltstack(2)); only the main thread gets one here.
 * A program that installs its own handlers for these signals replaces these. Other threads go on running meanwhile.
 * A fault where libunwind has all signals blocked ends the process at once, with the short report written.
 */
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "guard.h"
#include "modules.h"
#include "output.h"
#include "procfs.h"
#include "report.h"
#include "signals.h"
#include "unwind.h"

enum { STACK_BYTES = 64 * 1024 };

/*
 * Restores the default action and leaves the same signal pending, blocked until the handler returns: it then arrives at
 * the interrupted instruction, so that exit status, siginfo and core file are those of a program without this
 * handler. Returning alone would do for a fault, which happens again, but not for a signal that was sent.
 */
static void die_on_return(int signo, siginfo_t *info)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigset_t set;
    sigaction(signo, &action, NULL);
    sigemptyset(&set);
    sigaddset(&set, signo);
    sigprocmask(SIG_BLOCK, &set, NULL);
    if (syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), signo, info) != 0)
        syscall(SYS_tgkill, getpid(), gettid(), signo);
}

static void write_report(siginfo_t *info, const ucontext_t *context)
{
    struct report *report = report_create(info, context);
    int fd = output_open();
    if (fd >= 0) {
        guard_run(report, procfs_read_program, "fault while reading the program's name");
        guard_run(report, unwind_registers, "fault while reading the registers");
        output_write(fd, report, false);
        guard_run(report, procfs_read_threads, "fault while reading the threads");
        guard_run(report, modules_read, "fault while reading the modules");
        guard_run(report, unwind_frames, "fault while unwinding");
        guard_run(report, unwind_symbols, "fault while looking for symbols");
        output_write(fd, report, true);
        close(fd);
    }
    /* Not idle: after vfork the parent goes on with this very heap. */
    report_destroy(report);
}

static void handle(int signo, siginfo_t *info, void *context)
{
    int saved_errno = errno;
    if (guard_inside()) {
        guard_abandon_step();
    } else if (guard_enter()) {
        write_report(info, context);
        guard_leave();
    }
    die_on_return(signo, info);
    errno = saved_errno;
}

/* So that an overflow of the main thread's stack can be reported. The lowest page guards this stack in turn. */
static void install_stack(void)
{
    stack_t old;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (sigaltstack(NULL, &old) != 0 || !(old.ss_flags & SS_DISABLE))
        return;
    char *memory = mmap(NULL, page + STACK_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory + page, STACK_BYTES, PROT_READ | PROT_WRITE) != 0)
        return;
    stack_t stack = {.ss_sp = memory + page, .ss_size = STACK_BYTES};
    sigaltstack(&stack, NULL);
}

/* A signal that is ignored, by the parent's choice, stays so. */
static void install_handler(int signo)
{
    struct sigaction old;
    /* SA_NODEFER: the kernel ends a process at once whose fault finds its signal blocked. */
    struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    sigfillset(&action.sa_mask);
    for (int i = 0; i < SIGNALS_REPORTED; i++)
        sigdelset(&action.sa_mask, signals_reported[i]);
    if (sigaction(signo, NULL, &old) == 0 && old.sa_handler == SIG_DFL)
        sigaction(signo, &action, NULL);
}

__attribute__((constructor)) static void install(void)
{
    output_install();
    modules_install();
    modules_remember();
    unwind_install();
    install_stack();
    for (int i = 0; i < SIGNALS_REPORTED; i++)
        install_handler(signals_reported[i]);
}
