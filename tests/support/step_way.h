/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * What a way to step does: after each instruction of a thread from the end of on() to that of off() its on_trap() runs
 * there as the handler of SIGTRAP, as long as step_took() wants that. In a handler, of whatever signal, nothing is
 * stepped unless on() is called there, too; when it returns the interrupted code is stepped as before. What has been
 * forked in a handler goes on as its parent does.
 */
#ifndef AOMALLOC_TEST_STEP_WAY_H
#define AOMALLOC_TEST_STEP_WAY_H

#include <signal.h>
#include <stdbool.h>
#include <ucontext.h>

struct step_way {
    const char *name;           /* as AOMALLOC_TEST_STEP has it */
    const char *(*begin)(void); /* NULL, or why there is none here */
    void (*on)(void), (*off)(void);
    void (*on_trap)(int number, siginfo_t *information, void *context); /* with SA_NODEFER */
};
extern const struct step_way step_by_trap_flag, step_by_ptrace;

/* The one in use; NULL before step_require(). */
extern const struct step_way *step_way;

/* By on_trap(): an instruction has been executed. Whether to step on. */
bool step_took(const ucontext_t *context);

#endif /* AOMALLOC_TEST_STEP_WAY_H */
