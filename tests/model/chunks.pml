/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Chunks of a segment (lib/segment.c) and runs made over chunks that another run had (lib/run.c: make,
 * collect_and_release; lib/api.c: how free finds the run of a block). Two chunks, each with its descriptor for ever;
 * runs of class 0 have one chunk and one block, runs of class 1 both chunks and two blocks, one where each chunk
 * begins. So a block's address is a chunk's number. Some threads come late with a word of a run that has become another
 * one, or none.
 */
#include "progress.inc"

#define RUNS 2
#define LARGE 3 /* none here */
#define MASK(class) ((class) == 0 -> 1 : 3)
#define CHUNKS(class) ((class) + 1)
#define CHUNK_BITS(r, class) ((class) == 0 -> 1 << (r) : 3)
#ifndef THREADS
#define THREADS 3
#endif

byte taken; /* a bit per chunk */
byte partial; /* run 0 of class 0, run 0 of class 1, run 1 of class 0: bits 0, 1, 2 */
byte bytes[RUNS]; /* blocks_bytes, in chunks */
byte head[RUNS]; /* per chunk: the run */
byte addresses; /* ghost: blocks that users have, a bit per chunk */
byte owner[RUNS]; /* ghost, per chunk: the run of the block that begins there */

#define PARTIAL_BIT(r, class) (1 << ((class) + 2 * (r)))

inline set_partial(r, class)
{
    d_step { partial = partial | PARTIAL_BIT(r, class); CHANGED }
}

inline clear_partial(r, class)
{
    d_step { partial = partial & ~PARTIAL_BIT(r, class); CHANGED }
}

/* By the collector. */
inline give_chunks(r, class)
{
#if !defined(BROKEN_KEEP_BYTES) && !defined(BROKEN_BYTES_LATE) && !defined(BROKEN_BYTES_EARLY)
    bytes[r] = 0;
#endif
    d_step {
        assert((taken & CHUNK_BITS(r, class)) == CHUNK_BITS(r, class));
        taken = taken & ~CHUNK_BITS(r, class);
        CHANGED
    }
#ifdef BROKEN_BYTES_LATE
    ; bytes[r] = 0
#endif
}

#include "run.inc"

/* A block of the run, which the thread believes to be of class c; a stray goes back, and settle follows. */
inline take_block(r, c)
{
    take(r, 0, have);
    if
    :: have && CLASS(state[r]) == c ->
        d_step {
            at = r + have - 1; /* bit 0 or 1: its chunk */
            assert(!(addresses & 1 << at) && bytes[r] > at - r);
            addresses = addresses | 1 << at;
            owner[at] = r;
            user[r] = user[r] | have;
            have = 0;
            at = 0
        }
    :: have && CLASS(state[r]) != c -> put(r, have); d_step { have = 0; due = true }
    :: else
    fi
}

/* Chunks for a run of class c at r, now the caller's. */
inline take_chunks(r, c)
{
#ifdef BROKEN_STORE_TAKEN
    seen = taken;
    if
    :: !(seen & CHUNK_BITS(r, c)) -> d_step { taken = seen | CHUNK_BITS(r, c); got = true }
    :: else
    fi;
    seen = 0
#else
    d_step {
        if
        :: !(taken & CHUNK_BITS(r, c)) -> taken = taken | CHUNK_BITS(r, c); got = true; CHANGED
        :: else
        fi
    }
#endif
}

inline make(r, c)
{
    d_step {
        assert(STATE(state[r]) == EMPTY && !blocks[r] && !held[r]);
        /* No user has a block in these chunks, nobody else has a run there. */
        assert(!(addresses & CHUNK_BITS(r, c)));
        assert(c == 0 || STATE(state[1]) == EMPTY);
        assert(r == 0 || STATE(state[0]) == EMPTY || CLASS(state[0]) == 0);
        bytes[r] = CHUNKS(c)
    };
    head[r] = r;
    if
    :: c == 1 -> head[1] = r
    :: else
    fi;
    state[r] = PUBLISH(state[r], ACTIVE, c);
    blocks[r] = blocks[r] | MASK(c)
}

inline allocate(r, c)
{
    if
    :: d_step { partial & PARTIAL_BIT(r, c) -> partial = partial & ~PARTIAL_BIT(r, c); CHANGED };
        activate(r, c, done);
        got = done;
        done = false
    :: take_chunks(r, c);
        if
        :: got -> make(r, c)
        :: else
        fi
    fi;
    if
    :: got ->
        got = false;
        take_block(r, c);
        retire(r, due)
    :: else
    fi
}

/*
 * By a hint or by the recent run, which may be any run, or by the page map and head. Whichever: it is the block's own
 * run.
 */
inline free()
{
    atomic {
        if
        :: addresses & 1 -> at = 0
        :: addresses & 2 -> at = 1
        :: !addresses -> at = RUNS
        fi;
        if
        :: at < RUNS -> addresses = addresses & ~(1 << at)
        :: else
        fi
    };
    if
    :: at < RUNS ->
        if
        :: r = 0
        :: r = 1
        fi;
        if
        :: at >= r && at - r < bytes[r]
        :: else ->
            r = head[at];
            assert(at >= r && at - r < bytes[r]) /* else free would say that this is no block */
        fi;
        d_step {
            assert(r == owner[at]);
            have = 1 << (at - r);
            user[r] = user[r] & ~have;
            at = 0
        };
        give(r, have, due);
        have = 0
    :: else -> at = 0
    fi
}

#define ROLES 7
proctype thread(byte me; byte what)
{
    byte seen, survey, have, at, rounds, r;
    bit due, done, got;

    if
    :: what == 0 -> allocate(0, 0)
    :: what == 1 -> allocate(0, 1)
    :: what == 2 -> r = 1; allocate(1, 0)
    :: what == 3 -> free()
    :: what == 4 -> take_block(0, 0) /* late */
    :: what == 5 -> take_block(0, 1)
    :: what == 6 -> r = 1; take_block(1, 0)
    fi;
    what = 0;
    if
    :: due -> due = false; settle(r)
    :: else
    fi
}

inline start_run(r, c, s, used)
{
    taken = taken | CHUNK_BITS(r, c);
    state[r] = s | c << 2;
    bytes[r] = CHUNKS(c);
    head[r] = r;
    head[1] = (c == 1 -> 0 : head[1]);
    owner[r] = r;
    owner[1] = (c == 1 -> 0 : owner[1]);
    held[r] = used;
    user[r] = used;
    addresses = addresses | used << r;
    blocks[r] = MASK(c) & ~used;
    partial = (s == PARTIAL -> partial | PARTIAL_BIT(r, c) : partial)
}

inline check_quiet(r)
{
    assert(held[r] == user[r]);
    if
    :: STATE(state[r]) == PARTIAL ->
        assert(partial & PARTIAL_BIT(r, CLASS(state[r])) && blocks[r] != MASK(CLASS(state[r])))
    :: STATE(state[r]) == FULL -> assert(blocks[r] == 0)
    :: STATE(state[r]) == EMPTY -> assert(!blocks[r] && !held[r])
    fi;
    assert(STATE(state[r]) == EMPTY || (taken & CHUNK_BITS(r, CLASS(state[r]))) == CHUNK_BITS(r, CLASS(state[r])));
    assert(STATE(state[r]) == EMPTY || (held[r] | blocks[r]) == MASK(CLASS(state[r])))
}

init
{
    byte i = THREADS;
    byte what = ROLES - 1;

    atomic {
        if
        :: true
        :: start_run(0, 1, FULL, 3)
        :: start_run(0, 1, PARTIAL, 2)
        :: start_run(0, 0, FULL, 1); start_run(1, 0, FULL, 1)
        fi;
        do /* any of the roles each; in what order makes no difference */
        :: i > 0 && what > 0 -> what--
        :: i > 0 -> i--; run thread(i, what)
        :: i == 0 -> what = 0; break
        od
    };
    d_step {
        _nr_pr == 1 ->
        check_quiet(0);
        check_quiet(1);
        assert(taken == ((STATE(state[0]) == EMPTY -> 0 : CHUNK_BITS(0, CLASS(state[0]))) |
                         (STATE(state[1]) == EMPTY -> 0 : 2))) /* no chunk is lost */
    }
}
