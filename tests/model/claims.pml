/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * The claims of variants/perthread on one stack of a thread's front: the thread with two calls, one after the other at
 * the same position; a handler that pops, pushes or empties the front between any two of its steps, and may leave it by
 * siglongjmp; and another thread that empties the front (front.c: drain_some). With END the thread ends after its
 * calls (fronts_of_threads.c: end_thread), with FORK it forks at some moment: what goes on is the child, without the
 * other.
 *
 * The thread's plain stores reach memory late, in order, as on x86: that is what membarrier is for. What weaker
 * processors do besides is argued in docs/memory-ordering.md.
 */
#define SLOTS 2

#define MAIN 1 /* also positions on the stack */
#define HANDLER 2
#define ELSEWHERE 3

/* ---- memory, as the thread that empties sees it, and the stores of the other on their way to it ---- */

#define CLAIM 0
#define TOP 1
#define SLOT 2
#define WORDS (SLOT + SLOTS)

byte memory[WORDS];
byte pending[WORDS]; /* stores that are on their way */
byte newest[WORDS]; /* value of the last of these */
chan buffer = [4] of { byte, byte };

byte drainer; /* changed by compare-and-swap, which waits for stores, and back by a store that may be seen at once */
bit pointer = 1; /* the thread-local one */
bit ending; /* BROKEN_ENDING alone */

byte runs; /* blocks, each a bit, that are free in their runs */
byte users; /* that users have */
byte lost; /* in the hands of calls that were left */

bit in_handler;
bit left;
bit forked;

#define LOWEST(bits) ((bits) & -(bits))

#define LOAD(word) (pending[word] -> newest[word] : memory[word])

#define STORE(word, value)                                                                                             \
    buffer!word, value;                                                                                                \
    pending[word]++;                                                                                                   \
    newest[word] = value

active proctype store_buffer()
{
    byte word, value;

end:
    do
    :: atomic {
        buffer?word, value ->
        memory[word] = value;
        pending[word]--;
        newest[word] = (pending[word] -> newest[word] : 0);
        word = 0;
        value = 0
    }
    od
}

/* ---- pop and push ---- */

#define READY(me) (in_handler == (me == HANDLER))

#define STEP(what)                                                                                                     \
    if                                                                                                                 \
    :: atomic { READY(me) && !(me == MAIN && left) && nfull(buffer) -> what }                                          \
    :: atomic { READY(me) && me == MAIN && left -> goto over }                                                         \
    fi

#ifdef BROKEN_NO_LOOK_AT_CLAIM
#define IS_ANOTHERS(held) false
#else
#define IS_ANOTHERS(held) ((held) && (held) != me)
#endif

#ifdef BROKEN_NO_LOOK_AT_DRAINER
#define IS_DETACHED false
#else
#define IS_DETACHED drainer
#endif

#define CLAIM_TRY                                                                                                      \
    STEP(if :: !pointer -> goto failed :: else fi);                                                                    \
    STEP(if :: IS_ANOTHERS(LOAD(CLAIM)) -> goto failed :: else fi);                                                    \
    STEP(STORE(CLAIM, me));                                                                                            \
    STEP(if :: IS_DETACHED -> STORE(CLAIM, 0); goto failed :: else fi)

inline receive(block)
{
    assert(!(users & block) && !(runs & block) && !(lost & block)); /* nobody else has it */
    users = users | block;
    block = 0
}

inline free_to_run(block)
{
    assert(!(users & block) && !(runs & block) && !(lost & block));
    runs = runs | block;
    block = 0
}

inline pop_or_push()
{
    if
    :: true ->
        CLAIM_TRY;
        STEP(at = LOAD(TOP); if :: !at -> STORE(CLAIM, 0); goto failed :: else fi);
        STEP(copied = LOAD(SLOT + at - 1));
        STEP(STORE(TOP, at - 1); hand = copied; copied = 0; at = 0);
        STEP(STORE(CLAIM, 0));
        STEP(receive(hand))
    :: true ->
        STEP(push = 1; hand = LOWEST(users); users = users - hand; if :: !hand -> goto over :: else fi);
        CLAIM_TRY;
        STEP(at = LOAD(TOP); if :: at == SLOTS -> STORE(CLAIM, 0); goto failed :: else fi);
#ifdef BROKEN_COMMIT_FIRST
        STEP(STORE(TOP, at + 1));
        STEP(STORE(SLOT + at, hand); hand = 0; at = 0);
#else
        STEP(STORE(SLOT + at, hand));
        STEP(STORE(TOP, at + 1); hand = 0; at = 0);
#endif
        STEP(STORE(CLAIM, 0))
    fi;
    goto over;
failed:
    /* the runs do it */
    STEP(
        if
        :: push -> free_to_run(hand)
        :: else -> hand = LOWEST(runs); runs = runs - hand; receive(hand)
        fi)
}

/* ---- emptying ---- */

#ifdef BROKEN_ENDING
#define IS_QUIET (!claim || ending)
#else
#ifdef BROKEN_NO_LOOK_BY_DRAINER
#define IS_QUIET true
#else
#define IS_QUIET !claim
#endif
#endif

/* Pages of slots that go back read as zeros; what is on its way comes after. */
#define GIVE_PAGES_BACK                                                                                                \
    memory[SLOT] = 0;                                                                                                  \
    memory[SLOT + 1] = 0

/* A detached front, behind the barrier; own: seen with the thread's own stores. One that is empty may rest. */
inline empty_front(ready, own)
{
    atomic { ready -> claim = (own -> LOAD(CLAIM) : memory[CLAIM]) };
    if
    :: IS_QUIET ->
        atomic {
            ready -> at = (own -> LOAD(TOP) : memory[TOP]);
            if
            :: !at -> GIVE_PAGES_BACK
            :: else
            fi
        };
        atomic {
            ready && nfull(buffer) ->
            if
            :: own -> STORE(TOP, 0)
            :: else -> memory[TOP] = 0
            fi
        };
        do
        :: atomic { ready && at -> at--; hand = (own -> LOAD(SLOT + at) : memory[SLOT + at]); free_to_run(hand) }
        :: atomic { ready && !at -> break }
        od
    :: else ->
#ifdef BROKEN_PAGES
        if
        :: atomic { ready && !(own -> LOAD(TOP) : memory[TOP]) -> GIVE_PAGES_BACK }
        :: atomic { ready && (own -> LOAD(TOP) : memory[TOP]) }
        fi
#else
        skip
#endif
    fi;
    claim = 0
}

/* The thread that has the front. A compare-and-swap waits for its stores, so does membarrier. */
inline empty_own_front()
{
    if
    :: atomic { READY(me) && empty(buffer) && !drainer -> drainer = me };
        empty_front(READY(me), 1);
        atomic { READY(me) && empty(buffer) -> drainer = 0 }
    :: atomic { READY(me) && drainer }
    fi
}

proctype handler()
{
    byte me = HANDLER, at, hand, copied, claim;
    bit push;

    atomic { true -> in_handler = 1 };
    if
    :: pop_or_push()
    :: empty_own_front()
    fi;
over:
    atomic {
        at = 0;
        copied = 0;
        push = 0;
#ifdef LEAVE
        if
        :: left = 1
        :: true
        fi;
#endif
        in_handler = 0
    }
}

proctype thread()
{
    byte me = MAIN, at, hand, copied, claim, calls;
    bit push;

again:
    pop_or_push();
over:
    atomic {
        READY(me) ->
        lost = lost | hand; /* not 0 only after a handler that left */
        hand = 0;
        at = 0;
        copied = 0;
        push = 0;
        left = 0;
        calls++;
        if
        :: calls < 2 -> goto again
        :: else
        fi
    };
#ifdef END
#ifdef BROKEN_ENDING
    atomic { READY(me) -> ending = 1 };
#endif
    atomic { READY(me) -> pointer = 0 };
    atomic { READY(me) && nfull(buffer) -> left = 0; STORE(CLAIM, 0) };
    empty_own_front()
#endif
}

proctype other()
{
    byte at, hand, claim;

    {
        if
        :: atomic { !drainer -> drainer = ELSEWHERE };
#ifndef BROKEN_NO_MEMBARRIER
            empty(buffer);
#endif
            empty_front(true, 0);
            drainer = 0
        :: true
        fi
    } unless { forked }
}

#ifdef FORK
proctype forker()
{
    forked = 1
}
#endif

init
{
    byte i;
    byte seen;

    atomic {
        if
        :: users = 3
        :: memory[TOP] = 1; memory[SLOT] = 1; users = 2
        :: memory[TOP] = 2; memory[SLOT] = 1; memory[SLOT + 1] = 2
        fi;
        runs = 4;
        run thread();
        run handler();
#ifndef NO_OTHER
        run other();
#endif
#ifdef FORK
        run forker()
#endif
    };
    atomic {
        _nr_pr == 2 && empty(buffer) ->
        assert(!(users & runs) && !(lost & (users | runs)));
        seen = users | runs | lost;
        do
        :: i < memory[TOP] ->
            assert(memory[SLOT + i] && !(seen & memory[SLOT + i]));
            seen = seen | memory[SLOT + i];
            i++
        :: else -> break
        od;
        assert(forked || seen == 7); /* no block is twice, and none lost but in hands */
        assert(forked || drainer == 0)
    }
}
