/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * The exchange of headers of lib/heap.c (install, refill, reclaim) and variants/fronts/heaps.c (theft): two heaps'
 * headers of one class, two runs of two blocks. A run is known in exactly one place, and nothing is stuck. (What a run
 * does when its class changes is in run.pml.)
 */
#include "progress.inc"

#define RUNS 2
#define HEAPS 2
#define LARGE 3 /* none here */
#define MASK(class) 3
#ifndef THREADS
#define THREADS 3
#endif

byte header[HEAPS]; /* 0, or 1 + run */
byte partial; /* a bit per run */
byte taken; /* likewise: its chunks have a holder */

inline set_partial(r, class)
{
    d_step { partial = partial | 1 << r; CHANGED }
}

inline clear_partial(r, class)
{
    d_step { partial = partial & ~(1 << r); CHANGED }
}

inline give_chunks(r, class)
{
    d_step { assert(taken & 1 << r); taken = taken & ~(1 << r); CHANGED }
}

#include "run.inc"

inline check_in_no_header(r)
{
    assert(header[0] != r + 1 && header[1] != r + 1) /* (3) */
}

/* A block of the run for a user. */
inline take_block(r)
{
    take(r, 0, have);
    d_step { user[r] = user[r] | have; got = have != 0; have = 0 }
}

/* r is ACTIVE in our hands: a block of it, then into the header. old: the run to be retired, 1 + its number. */
inline take_and_install(h, r, old)
{
    take_block(r);
    if
    :: got ->
        d_step { old = header[h]; ROUND(1) };
        do
        :: old && blocks[old - 1] -> old = r + 1; break /* a run that will do is there by now */
        :: !old || !blocks[old - 1] -> /* a step of its own: it may have one before the CAS */
#ifdef BROKEN_STORE_HEADER
            d_step { header[h] = r + 1; CHANGED };
            break
#else
            if
            :: d_step { header[h] == old -> check_in_no_header(r); header[h] = r + 1; CHANGED }; break
            :: d_step { header[h] != old -> old = header[h]; ROUND(1) }
            fi
#endif
        od;
        rounds = 0
    :: else -> old = r + 1
    fi;
    got = false
}

/* own: the run found, 1 + its number. */
inline find_run(h)
{
    if
    :: d_step { partial & 1 -> partial = partial & ~1; CHANGED }; activate(0, 0, done); own = (done -> 1 : 0)
    :: d_step { partial & 2 -> partial = partial & ~2; CHANGED }; activate(1, 0, done); own = (done -> 2 : 0)
    :: d_step { !(taken & 1) -> taken = taken | 1; CHANGED }; own = 1; make(0)
    :: d_step { !(taken & 2) -> taken = taken | 2; CHANGED }; own = 2; make(1)
    :: d_step { !partial && taken == 3 -> own = 0 }; /* memory is short: from the other heap's header */
        at = header[1 - h];
        if
        :: at && blocks[at - 1] ->
            if
            :: d_step { header[1 - h] == at -> header[1 - h] = 0; own = at; CHANGED }
            :: header[1 - h] != at
            fi
        :: else
        fi;
        at = 0
    fi;
    done = false
}

inline make(r)
{
    d_step { assert(STATE(state[r]) == EMPTY && !blocks[r] && !held[r]); state[r] = PUBLISH(state[r], ACTIVE, 0) };
    blocks[r] = MASK(0)
}

inline allocate(h)
{
    at = header[h];
    if
    :: at -> take_block(at - 1); at = 0
    :: else
    fi;
    if
    :: !got ->
        find_run(h);
        if
        :: own -> at = own - 1; own = 0; take_and_install(h, at, old); at = 0
        :: else
        fi
    :: else
    fi;
    got = false;
    if
    :: old -> r = old - 1; old = 0
#ifndef BROKEN_NO_RETIRE
        ; retire(r, due)
#endif
    :: else
    fi
}

/* Any block that a user has. */
inline free()
{
    atomic {
        if
        :: user[0] -> r = 0
        :: user[1] -> r = 1
        :: !user[0] && !user[1] -> r = RUNS
        fi;
        if
        :: r < RUNS -> have = LOWEST(user[r]); user[r] = user[r] - have
        :: else
        fi
    };
    if
    :: have -> give(r, have, due); have = 0
    :: else
    fi
}

inline reclaim(h)
{
    at = header[h];
    if
    :: at && blocks[at - 1] == MASK(0) ->
#ifdef BROKEN_RETIRE_ANYWAY
        d_step { header[h] = 0; r = at - 1; at = 0; CHANGED };
        retire(r, due)
#else
        if
        :: d_step { header[h] == at -> header[h] = 0; r = at - 1; at = 0; CHANGED };
            retire(r, due)
        :: header[h] != at
        fi
#endif
    :: else
    fi;
    at = 0
}

#define ROLES 4
proctype thread(byte me; byte what)
{
    byte seen, survey, have, at, own, old, rounds, r;
    bit due, done, got;

    if
    :: what < HEAPS -> allocate(what)
    :: what == 2 -> free()
    :: what == 3 -> reclaim(0)
    fi;
    what = 0;
    if
    :: due -> due = false; settle(r)
    :: else
    fi
}

/* Any state of a run that nobody is at; ACTIVE: in header h. */
inline start(r, h)
{
    taken = taken | 1 << r;
    if
    :: taken = taken & ~(1 << r) /* EMPTY */
    :: state[r] = FULL
    :: state[r] = PARTIAL; partial = partial | 1 << r; blocks[r] = 2
    :: state[r] = ACTIVE; header[h] = r + 1; blocks[r] = 0
    :: state[r] = ACTIVE; header[h] = r + 1; blocks[r] = 2
    :: state[r] = ACTIVE; header[h] = r + 1; blocks[r] = 3
    fi;
    held[r] = (taken & 1 << r -> MASK(0) & ~blocks[r] : 0);
    user[r] = held[r]
}

/* Nobody is inside. */
inline check_quiet(r)
{
    assert(held[r] == user[r]);
    assert(!(taken & 1 << r) || (held[r] | blocks[r]) == MASK(0)); /* (1) */
    if /* (3), (4), (6) */
    :: STATE(state[r]) == ACTIVE -> assert((header[0] == r + 1) + (header[1] == r + 1) == 1)
    :: STATE(state[r]) == PARTIAL -> check_in_no_header(r); assert(partial & 1 << r && blocks[r] != MASK(0))
    :: STATE(state[r]) == FULL -> check_in_no_header(r); assert(blocks[r] == 0)
    :: STATE(state[r]) == EMPTY -> check_in_no_header(r); assert(!(taken & 1 << r) && !blocks[r] && !held[r])
    fi
}

init
{
    byte i = THREADS;
    byte what = ROLES - 1;

    atomic {
        start(0, 0);
        start(1, 1);
        do /* any of the roles each; in what order makes no difference */
        :: i > 0 && what > 0 -> what--
        :: i > 0 -> i--; run thread(i, what)
        :: i == 0 -> what = 0; break
        od
    };
    d_step { _nr_pr == 1 -> check_quiet(0); check_quiet(1) }
}
