/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * To be told when a thread ends: a key of the thread library, if the program has one. The symbols are weak, so that the
 * library itself needs none. In glibc neither call takes a lock, makes a system call or fails; setting a value
 * allocates, but for the first 32 keys, so a key beyond them is given back. musl takes a lock to make a key; there, and
 * with such a key, nobody is told: a front then stays with its thread's address until it is emptied from elsewhere or a
 * new thread has the same. So does one whose thread gets it in the last round of destructors or after them.
 */
#ifndef AOMA_PERTHREAD_THREAD_END_H
#define AOMA_PERTHREAD_THREAD_END_H

struct aoma_front;

/* Before the first thread has a front. Does nothing where there is a key already. */
void aoma_thread_end_prepare(void);

#endif /* AOMA_PERTHREAD_THREAD_END_H */
