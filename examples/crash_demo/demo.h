/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */
/* Ways to crash, each in a function of its own that a report's frames must name. */
#ifndef CRASH_DEMO_H
#define CRASH_DEMO_H

void crash_segv(void);
void crash_abort(void);
void crash_fpe(void);
void crash_bus(void);
void crash_ill(void);
void crash_null_call(void);
void crash_stack_overflow(void);
/* Overwrites its callers' frames first, so that they cannot be found. */
void crash_smashed_stack(void);
/* With SIGSEGV in the child of a vfork, then with SIGABRT in its parent. */
void crash_after_vfork(void);

/* In two threads at once. */
void crash_twice(void);

/* Both with a second thread running, so that the lock is a real one. */
void crash_in_malloc(void);
void crash_under_loader_lock(void);

/* Starts a thread, demo-worker, that runs work and then sleeps for ever; returns when work or worker_done() is done. */
void start_worker(void (*work)(void));
void worker_done(void);
void sleep_for_ever(void);

#endif
