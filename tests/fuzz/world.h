/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * What surrounds the library in a fuzz target, the same for each input: its state is that of a new process, and memory
 * from the system comes from a range of addresses that is there for this alone. So an input does the same whichever ran
 * before it, and many of them can run in one process.
 */
#ifndef AOMALLOC_FUZZ_WORLD_H
#define AOMALLOC_FUZZ_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)

/* A value that no function sets errno to. */
#define ERRNO_SENTINEL 7777

#define FUZZ_CHECK(condition) ((condition) ? (void)0 : fuzz_fail(__FILE__, __LINE__, #condition))

/* One line on standard error, then abort(). */
_Noreturn void fuzz_fail(const char *file, int line, const char *condition);

/* ---- the library and the system ---- */

void world_begin(void);

/* Static data of the library, its heap among it. */
uintptr_t world_state_low(void);
size_t world_state_bytes(void);

/* Where memory from the system comes from. */
uintptr_t world_arena_low(void);
size_t world_arena_bytes(void);

/* Zeroes from there, for a region; NULL when it is used up. */
void *world_map(size_t bytes);

/* From now on the system refuses the next so many of each kind of call. */
void world_refuse(unsigned maps, unsigned purges, unsigned resizes, unsigned moves);

/* Bytes that the library has, those of world_map() not among them. */
size_t world_mapped_bytes(void);

/* ---- calls that are interrupted ---- */

/*
 * The next call between call_begin() and call_end() is interrupted by act(), once: after so many instructions (a
 * handler that uses another CPU's number is to the library like a thread that ran meanwhile); or in the so-manieth
 * window of a variant with fronts. Where no instructions can be stepped through nothing happens.
 */
void interrupt_after(unsigned instructions, void (*act)(void));
void interrupt_in_window(unsigned windows, void (*act)(void));

void interrupt_nothing(void);

void call_begin(void);
void call_end(void);

/* What lies between them within a call is not interrupted, nor counted. */
void interrupt_hold(void);
void interrupt_release(void);

/* For the variant's windows. */
void call_in_window(void);

/* ---- the variant: cpu_*.c ---- */

/* From now on the caller has this number of a CPU; any will do. */
void cpu_set(uint32_t number);
uint32_t cpu_get(void);

/* After world_begin(), and after each call that may turn on fronts. */
void cpu_begin(void);
void cpu_use_virtual(void);

/* Blocks in fronts and on their way. */
size_t cpu_cached(void);

#endif /* AOMALLOC_FUZZ_WORLD_H */
