/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * The restartable sections of variants/percpu/sections.h on two CPUs' fronts: two threads, a handler that allocates or
 * frees within one of them, a thread that empties a front (front.c: drain_some), and one that holds a block and looks
 * for it in the fronts, as a free does that suspects another before.
 *
 * The kernel may stop a thread before any step, let others run on that CPU, and go on with it on another one. A section
 * is aborted then if rseq_cs names it and the thread is inside, <linux/rseq.h>. So a section's step, which says that
 * its thread runs, interrupts whoever was inside on that CPU; and it may itself be aborted for no reason that we see.
 *
 * All five together have more states than fit 4 GiB; NO_SECOND, NO_HANDLER, NO_DRAINER and NO_LOOKER leave one out.
 * With FORK thread 0 forks at some moment: what goes on is the child, in which the others have stopped wherever they
 * were. Blocks in their hands, and a front that the drainer has detached, are lost there; nothing is twice.
 */
#define CPUS 2
#define SLOTS 2 /* of a front */

/* Contexts of execution: thread 0, thread 1, the handler on thread 0. */
#define CONTEXTS 3
#define HANDLER 2

byte cpu[2]; /* of a thread */
bit in_handler; /* thread 0 */
bit rseq_cs[2]; /* of a thread: names the section that it began last */
bit inside[CONTEXTS]; /* the instruction pointer is between the section's begin and its commit */
bit aborted[CONTEXTS]; /* goes on at the abort handler */

bit attached[CPUS] = 1; /* aoma_fronts */
byte top[CPUS];
byte slot[CPUS * SLOTS]; /* blocks are 1, 2, 4 */

byte runs; /* blocks that are free in their runs */
byte users; /* that users have */

bit forked;

#define LOWEST(bits) ((bits) & -(bits))

/* ---- the kernel ---- */

#define CONTEXT_OF(t) ((t) == 0 && in_handler -> HANDLER : (t))

/* Thread t stops: for another one, a signal, or membarrier. */
#define INTERRUPT(t)                                                                                                   \
    aborted[CONTEXT_OF(t)] = aborted[CONTEXT_OF(t)] || (rseq_cs[t] && inside[CONTEXT_OF(t)]);                          \
    rseq_cs[t] = 0

/* Thread t runs on the CPU, nobody else. */
#define RUN_ON(t, c)                                                                                                   \
    if                                                                                                                 \
    :: cpu[1 - t] == c -> INTERRUPT(1 - t)                                                                             \
    :: else                                                                                                            \
    fi;                                                                                                                \
    cpu[t] = c

/* ---- sections ---- */

#define READY (thread == 1 || in_handler == (me == HANDLER))

#define STEP(what)                                                                                                     \
    if                                                                                                                 \
    :: atomic { READY && !aborted[me] -> RUN_ON(thread, cpu[thread]); what }                                           \
    :: atomic { READY -> inside[me] = 0; goto failed }                                                                 \
    fi

#define RUN_SOMEWHERE                                                                                                  \
    if                                                                                                                 \
    :: true -> RUN_ON(thread, 0)                                                                                       \
    :: true -> RUN_ON(thread, 1)                                                                                       \
    fi

/* On any CPU. Storing rseq_cs is the last instruction before the section. */
#ifdef BROKEN_GAP
#define BEGIN                                                                                                          \
    atomic { READY -> RUN_SOMEWHERE; rseq_cs[thread] = 1 };                                                            \
    atomic { READY -> inside[me] = 1 }
#else
#define BEGIN atomic { READY -> RUN_SOMEWHERE; rseq_cs[thread] = 1; inside[me] = 1 }
#endif

#define FRONT                                                                                                          \
    STEP(number = cpu[thread]);                                                                                        \
    STEP(if :: !attached[number] -> goto failed :: else fi)

#ifdef BROKEN_FRONT_OUTSIDE
#define BEGIN_FRONT FRONT; BEGIN
#else
#define BEGIN_FRONT BEGIN; FRONT
#endif

/* push: the first of the blocks in hand, else as many as n. What a section did not do the runs do. */
proctype context(byte me; byte thread; bit push; byte n)
{
    byte number, at, hand, copied;

    {
        if
        :: me == HANDLER -> atomic { INTERRUPT(0); in_handler = 1 }
        :: else
        fi;
        if
        :: push ->
            atomic { /* what the caller brings */
                hand = LOWEST(users);
                users = users - hand;
                if
                :: n == 2 -> copied = LOWEST(users); users = users - copied; hand = hand | copied; copied = 0
                :: else
                fi
            };
            if
            :: !hand -> goto done
            :: else
            fi;
            n = (hand & (hand - 1) -> 2 : 1);
            BEGIN_FRONT;
            STEP(at = top[number]);
            STEP(if :: at + n > SLOTS -> goto failed :: else fi);
#ifdef BROKEN_COMMIT_FIRST
            STEP(top[number] = at + n);
#endif
            STEP(slot[number * SLOTS + at] = LOWEST(hand));
            if
            :: n == 2 -> STEP(slot[number * SLOTS + at + 1] = hand & (hand - 1))
            :: else
            fi;
#ifdef BROKEN_COMMIT_FIRST
            STEP(hand = 0; inside[me] = 0)
#else
            STEP(top[number] = at + n; hand = 0; inside[me] = 0)
#endif
        :: else ->
            BEGIN_FRONT;
            STEP(at = top[number]; n = (at < n -> at : n); if :: !n -> goto failed :: else fi);
            STEP(copied = slot[number * SLOTS + at - 1]);
            if
            :: n == 2 -> STEP(copied = copied | slot[number * SLOTS + at - 2])
            :: else
            fi;
            STEP(top[number] = at - n; assert(!(users & copied) && !(runs & copied)); hand = copied; inside[me] = 0)
        fi;
failed:
        atomic {
            inside[me] = 0;
            aborted[me] = 0;
            number = 0;
            at = 0;
            copied = 0;
            n = 0;
            if
            :: push -> assert(!(runs & hand)); runs = runs | hand /* to their runs */
            :: !push && !hand -> hand = LOWEST(runs); runs = runs - hand; users = users | hand /* from a run */
            :: !push && hand -> users = users | hand
            fi;
            hand = 0
        };
done:
        in_handler = (me == HANDLER -> 0 : in_handler)
    } unless { forked && thread == 1 }
}

/* ---- all CPUs ---- */

/* IPIs reach the CPUs one after the other. */
#define INTERRUPT_ALL_ON(c)                                                                                            \
    d_step {                                                                                                           \
        if                                                                                                             \
        :: cpu[0] == c -> INTERRUPT(0)                                                                                 \
        :: else                                                                                                        \
        fi;                                                                                                            \
        if                                                                                                             \
        :: cpu[1] == c -> INTERRUPT(1)                                                                                 \
        :: else                                                                                                        \
        fi                                                                                                             \
    }

proctype drainer(byte number)
{
    byte at, hand;

    {
        if
        :: top[number] ->
            attached[number] = 0;
#ifndef BROKEN_NO_MEMBARRIER
            INTERRUPT_ALL_ON(0);
            INTERRUPT_ALL_ON(1);
#endif
            at = top[number];
            top[number] = 0;
            do
            :: at > 0 ->
                at--;
                hand = slot[number * SLOTS + at];
                d_step { assert(!(runs & hand) && !(users & hand)); runs = runs | hand; hand = 0 }
            :: at == 0 -> break
            od;
            attached[number] = 1
        :: else
        fi
    } unless { forked }
}

#ifdef BROKEN_LOOK_ABOVE
#define LOOK_AT SLOTS
#else
#define LOOK_AT top[number]
#endif

/* front_has: whoever rightly holds a block finds it nowhere. */
proctype looker()
{
    byte hand, number, at, below;

    {
        atomic {
            if
            :: users -> hand = LOWEST(users); users = users - hand
            :: users && (users & (users - 1)) -> hand = users & (users - 1); hand = LOWEST(hand); users = users - hand
            :: runs -> hand = LOWEST(runs); runs = runs - hand /* just allocated */
            :: true
            fi
        };
        do
        :: hand && number < CPUS ->
            if
            :: attached[number] ->
                below = LOOK_AT;
                at = number * SLOTS;
                do
                :: at < number * SLOTS + below -> assert(slot[at] != hand); at++
                :: else -> break
                od
            :: else
            fi;
            number++
        :: else -> break
        od;
        atomic { users = users | hand; hand = 0; number = 0; at = 0; below = 0 }
    } unless { forked }
}

#ifdef FORK
proctype forker()
{
    forked = 1
}
#endif

inline start_context(me, thread)
{
    if
    :: run context(me, thread, 0, 1)
    :: run context(me, thread, 1, 1)
#ifdef BATCHES
    :: run context(me, thread, 0, 2)
    :: run context(me, thread, 1, 2)
#endif
    fi
}

init
{
    byte i;
    byte seen;

    atomic {
        if
        :: top[0] = 0; users = 7
        :: top[0] = 1; slot[0] = 1; users = 6
        :: top[0] = 2; slot[0] = 1; slot[1] = 2; users = 4
        fi;
        start_context(0, 0);
#ifndef NO_SECOND
        start_context(1, 1);
#endif
#ifndef NO_HANDLER
        start_context(HANDLER, 0);
#endif
#ifndef NO_DRAINER
        run drainer(0);
#endif
#ifndef NO_LOOKER
        run looker();
#endif
#ifdef FORK
        run forker()
#endif
    };
    atomic {
        _nr_pr == 1 ->
        assert(forked || (attached[0] && attached[1]));
        assert(!(users & runs));
        seen = users | runs;
        do
        :: i < CPUS * SLOTS ->
            if
            :: i % SLOTS < top[i / SLOTS] -> assert(slot[i] && !(seen & slot[i])); seen = seen | slot[i]
            :: else
            fi;
            i++
        :: else -> break
        od;
        assert(forked || seen == 7) /* (1) no block is lost, none is twice */
    }
}
