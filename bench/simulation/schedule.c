/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Virtual CPUs as coroutines. Before each call of malloc or free a CPU drawn by lot goes on; with overlap, also before
 * each read-modify-write within a call. That is never within a restartable section: sections hold no read-modify-write.
 */
#include "simulation.h"

#include "atomics.h"
#include "harness.h"

#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>

/* As far apart as those of glibc's threads: heaps may go by the address of the stack. Few pages of each are touched. */
#define STACK_BYTES ((size_t)8 << 20)

struct cpu {
    struct bench_thread thread;
    ucontext_t context; /* where it begins */
    jmp_buf place;      /* where it goes on: unlike swapcontext, without a system call */
    bool begun;
};

atomic_bool bench_stopping;

static struct cpu cpus[BENCH_MAX_THREADS];
static ucontext_t caller;
static const struct bench_simulation *current;
static struct bench_thread lot; /* for its random numbers */
static struct bench_writes result;
static uint64_t mallocs; /* since all CPUs have begun their steps */
static unsigned on, entered, stopped, left;
static bool running;

static void switch_to(unsigned next)
{
    if (next == on || _setjmp(cpus[on].place) != 0)
        return;
    on = next;
    bench_cpu_set(on);
    if (cpus[on].begun)
        _longjmp(cpus[on].place, 1);
    cpus[on].begun = true;
    setcontext(&cpus[on].context);
    bench_fail(BENCH_EXIT_FAILED, "no switch to a virtual CPU");
}

void bench_yield(void)
{
    if (running)
        switch_to(bench_random_below(&lot, current->cpus));
}

void bench_simulation_taken(const void *block)
{
    bench_writers_block(block, on);
}

void bench_simulation_call(const void *freed)
{
    bench_yield();
    if (freed)
        bench_writers_block(freed, on);
    if (freed || entered < current->cpus)
        return;
    mallocs++;
    bench_writers_op();
    if (mallocs == current->ops) {
        bench_writers_start();
    } else if (mallocs == 2 * current->ops) {
        result = bench_writers_so_far();
        atomic_store(&bench_stopping, true);
    }
}

void aoma_rmw_hook(const volatile void *word)
{
    if (running && current->overlap)
        bench_yield();
    bench_writers_rmw(word, on);
}

void aoma_store_hook(const volatile void *word)
{
    bench_writers_store(word, on);
}

/* As pthread_barrier_wait. */
static void meet(unsigned *arrived)
{
    ++*arrived;
    while (*arrived < current->cpus)
        bench_yield();
}

static void run_cpu(void)
{
    struct bench_thread *thread = &cpus[on].thread;
    const struct bench_workload *workload = current->workload;

    if (workload->enter != NULL)
        workload->enter(thread);
    meet(&entered);
    while (!atomic_load(&bench_stopping))
        workload->step(thread, workload->step_ops);
    meet(&stopped);
    if (workload->leave != NULL)
        workload->leave(thread);
    meet(&left);
    running = false;
    if (setcontext(&caller) != 0)
        bench_fail(BENCH_EXIT_FAILED, "no way back from the virtual CPUs");
}

static void prepare(unsigned index, char *stacks)
{
    struct cpu *cpu = &cpus[index];

    cpu->thread.index = index;
    cpu->thread.threads = current->cpus;
    cpu->thread.random = (current->seed + index + 1) * 0x9e3779b97f4a7c15u | 1;
    getcontext(&cpu->context);
    cpu->context.uc_stack.ss_sp = stacks + index * STACK_BYTES;
    cpu->context.uc_stack.ss_size = STACK_BYTES;
    makecontext(&cpu->context, run_cpu, 0);
}

struct bench_writes bench_simulate(const struct bench_simulation *simulation)
{
    current = simulation;
    lot.random = simulation->seed | 1;
    char *stacks = mmap(NULL, simulation->cpus * STACK_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stacks == MAP_FAILED)
        bench_fail(BENCH_EXIT_FAILED, "no memory for the virtual CPUs' stacks");
    for (unsigned i = 0; i < simulation->cpus; i++)
        prepare(i, stacks);
    running = true;
    bench_cpu_set(on);
    cpus[on].begun = true;
    if (swapcontext(&caller, &cpus[on].context) != 0)
        bench_fail(BENCH_EXIT_FAILED, "no switch to the first virtual CPU");
    return result;
}
