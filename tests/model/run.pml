/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * One descriptor, the invariants (1) to (6) at the head of lib/run.c. Threads allocate from headers of two classes, one
 * of which has two blocks in one word, free what any of them holds, and take the run out of headers at any time, so
 * that every one of them may find itself with a word of what is another class's run by now (strays). They begin with
 * the run in any state, each of its blocks free or in use.
 */
#include "progress.inc"

#define RUNS 1
#define LARGE 3 /* none here */
#define MASK(class) ((class) == 0 -> 15 : 3)
#ifndef THREADS
#define THREADS 3
#endif
#ifndef OPS
#define OPS 1
#endif

byte header[2]; /* 0, or 1 + word */
byte partial; /* a bit per class */
bit taken; /* the run's chunks */
bit made; /* ghost: the class that the run was last made for */

inline set_partial(r, class)
{
    partial = partial | 1 << (class)
}

inline clear_partial(r, class)
{
    partial = partial & ~(1 << (class))
}

inline give_chunks(r, class)
{
    d_step { assert(taken); taken = 0; CHANGED }
}

#include "run.inc"

#define NONE 0 /* the word had no block */
#define GOT 1
#define STRAY 2

/*
 * Tries both words of the run, w first; what the last one gave. A block is looked at when we hold it: if it is of
 * another class it goes back, and the caller settles.
 */
inline take_any(c, w, result)
{
    tries = 0;
    do
    :: tries < WORDS && result == NONE ->
        take(0, w, have);
        if
        :: have && CLASS(state[0]) == c ->
            d_step {
                assert(c == made);
                user[0] = user[0] | have;
                have = 0;
                result = GOT
            }
        :: have && CLASS(state[0]) != c ->
#ifdef BROKEN_KEEP_STRAY
            d_step { assert(CLASS(state[0]) == c); user[0] = user[0] | have; have = 0; result = GOT }
#else
            put(0, have);
            d_step { have = 0; result = STRAY }
#endif
        :: else -> d_step { w = 1 - w; tries++ }
        fi
    :: else -> break
    od;
    atomic { tries = 0; w = 0 }
}

inline make(c)
{
    d_step { assert(held[0] == 0 && blocks[0] == 0 && STATE(state[0]) == EMPTY); taken = 1; made = c; CHANGED };
#ifdef BROKEN_WORDS_FIRST
    blocks[0] = blocks[0] | (MASK(c) & WORD(0));
    state[0] = PUBLISH(state[0], ACTIVE, c);
#else
    state[0] = PUBLISH(state[0], ACTIVE, c);
    blocks[0] = blocks[0] | (MASK(c) & WORD(0));
#endif
    blocks[0] = blocks[0] | (MASK(c) & WORD(1))
}

/*
 * From the header's word, then from any of its run; then from a run of our own, PARTIAL or new. In the code a stray, or
 * a run of our own that others have emptied meanwhile, leads to another round; here it ends the operation.
 */
inline allocate(c)
{
    at = header[c];
    if
    :: at -> word = at - 1; take_any(c, word, result)
    :: else
    fi;
    if
    :: result == GOT ->
        /* That the other word goes into the header, whichever the block was taken from, is more than the code does. */
        if
        :: d_step { header[c] == at -> header[c] = 3 - at; CHANGED }
        :: header[c] != at || true
        fi
    :: result == STRAY -> due = true
    :: result == NONE ->
        if
        :: d_step { partial & 1 << c -> partial = partial & ~(1 << c); CHANGED };
            activate(0, c, own)
        :: d_step { !taken -> taken = 1 };
            make(c);
            own = true
        :: !(partial & 1 << c) && taken
        fi
    fi;
    at = 0;
    result = NONE
}

/* The run is ACTIVE in our hands; (3) says that no header has it. */
inline install(c)
{
    assert(!header[0] && !header[1]);
    own = false;
    take_any(c, word, result);
    if
    :: result == GOT -> d_step { assert(!header[0] && !header[1]); header[c] = 1; CHANGED }
    :: result == NONE -> retire(0, due)
    :: result == STRAY -> assert(false) /* (3) it is of our class */
    fi;
    result = NONE
}

/* Of the blocks of one word that users have, one is as good as another. */
inline free()
{
    atomic {
        user[0] ->
        if
        :: user[0] & WORD(0) -> have = LOWEST(user[0])
        :: user[0] & WORD(1) -> have = 8
        fi;
        user[0] = user[0] - have
    };
    give(0, have, due);
    have = 0
}

/* Out of the header, as by reclaim, by install of another run, or by a theft. */
inline evict(c)
{
    at = header[c];
    if
    :: at ->
        if
        :: d_step { header[c] == at -> header[c] = 0; at = 0; CHANGED };
            retire(0, due)
        :: header[c] != at -> at = 0
        fi
    :: else
    fi
}

proctype thread(byte me)
{
    byte seen, survey, have, at, rounds, tries, word, result, n;
    bit c, due, done, own;

    do
    :: n < OPS ->
        n++;
        if
        :: true -> c = 0
        :: true -> c = 1
        fi;
        if
        :: allocate(c)
        :: free()
        :: evict(c)
        fi;
        if
        :: own -> install(c)
        :: else
        fi;
        c = 0;
        if
        :: due -> due = false; settle(0)
        :: else
        fi
    :: else -> break
    od
}

/* Any state in which nobody is inside. */
inline start()
{
    if
    :: skip /* EMPTY */
    :: d_step { taken = 1; state[0] = ACTIVE; header[0] = 1; blocks[0] = 15 }
    :: d_step { taken = 1; state[0] = ACTIVE | 4; header[1] = 1; blocks[0] = 3 }
    :: d_step { taken = 1; state[0] = FULL }
    :: d_step { taken = 1; state[0] = FULL | 4 }
    :: d_step { taken = 1; state[0] = PARTIAL; partial = 1; blocks[0] = 7 }
    :: d_step { taken = 1; state[0] = PARTIAL | 4; partial = 2; blocks[0] = 1 }
    fi;
    do /* blocks in use; of a PARTIAL run not all. Of those of one word, which ones makes no difference */
    :: blocks[0] & 7 && (STATE(state[0]) == ACTIVE || blocks[0] & (blocks[0] - 1)) ->
        blocks[0] = blocks[0] - LOWEST(blocks[0])
    :: blocks[0] & 8 && (STATE(state[0]) == ACTIVE || blocks[0] & 7) -> blocks[0] = blocks[0] - 8
    :: break
    od;
    made = CLASS(state[0]);
    held[0] = (taken -> MASK(CLASS(state[0])) & ~blocks[0] : 0);
    user[0] = held[0]
}

/* Nobody is inside. */
inline check_quiet()
{
    assert(held[0] == user[0]);
    assert(!taken || (held[0] | blocks[0]) == MASK(CLASS(state[0]))); /* (1) all are accounted for */
    if /* (3), (4), (6) */
    :: STATE(state[0]) == ACTIVE -> assert(header[CLASS(state[0])] && !header[1 - CLASS(state[0])])
    :: STATE(state[0]) == PARTIAL ->
        assert(partial & 1 << CLASS(state[0]) && blocks[0] != MASK(CLASS(state[0])) && !header[0] && !header[1])
    :: STATE(state[0]) == FULL -> assert(blocks[0] == 0 && !header[0] && !header[1])
    :: STATE(state[0]) == EMPTY -> assert(!taken && blocks[0] == 0 && held[0] == 0 && !header[0] && !header[1])
    fi
}

init
{
    byte i = THREADS;

    atomic {
        start();
        do
        :: i > 0 -> i--; run thread(i)
        :: i == 0 -> break
        od
    };
    d_step { _nr_pr == 1 -> check_quiet() }
}
