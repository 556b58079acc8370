/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * A transfer place of variants/fronts/transfer.c with room for two blocks, and what front.c does with it: refill,
 * make_room, and the look of a free that suspects another before (aoma_transfer_has). The front is one set that changes
 * in one step, sections.pml says why.
 *
 * (1) A place has one holder. (3) Neither its CASes nor the look need a version, which is left away with
 * VERSION_BITS=0: a place is no list, a word that went away and came back says what lies there now. And who looks holds
 * the block: a place that he finds FULL does not have it, nor will anybody write it there. So the code's version and
 * its second look are a second line; that no more than count pointers are looked at is the first.
 *
 * With DEATHS=1 one thread may die at any step: then what it had in its hands or in its place is lost, nothing is
 * twice.
 */
#include "progress.inc"

#ifndef THREADS
#define THREADS 3
#endif
#ifndef OPS
#define OPS 2
#endif
#ifndef DEATHS
#define DEATHS 0
#endif
#ifndef VERSION_BITS
#define VERSION_BITS 4
#endif
#define VERSION_MASK ((1 << VERSION_BITS) - 1)
#define NOBODY 255

#define FREE 0
#define BUSY 1
#define FULL 2
/* bits 0-1 state, 2-3 count, then the version. */
#define STATE(w) ((w) & 3)
#define COUNT(w) (((w) >> 2) & 3)
#define NEXT(w, state, count) ((state) | (count) << 2 | ((((w) >> 4) + 1) & VERSION_MASK) << 4)

#define ROOM 2
#define ALL 7
#define LOWEST(bits) ((bits) & -(bits))

byte word;
byte pointers[ROOM]; /* blocks are 1, 2, 4 */

byte runs; /* blocks that are free in their runs */
byte front;
byte users;
byte holders; /* ghost: of the place */
byte killed = NOBODY;

/* held: it is ours, with count blocks. */
inline take_place(which, held, count)
{
    seen = word;
    if
    :: STATE(seen) == which ->
#ifdef BROKEN_STORE_WORD
        word = NEXT(seen, BUSY, 0);
        d_step { held = 1; count = COUNT(seen); holders++; assert(holders == 1) }
#else
        d_step {
            if
            :: word == seen ->
                word = NEXT(seen, BUSY, 0);
                held = 1;
                count = COUNT(seen);
                holders++;
                assert(holders == 1) /* (1) */
            :: else
            fi
        }
#endif
    :: else
    fi;
    seen = 0
}

inline put_place(held, count)
{
    d_step {
        holders--;
        held = 0;
        word = NEXT(word, (count -> FULL : FREE), count);
        count = 0
    }
}

/* A block for a user, the rest of a batch for the front, or back to the place. */
inline refill()
{
    take_place(FULL, held, count);
    if
    :: !held -> take_place(FREE, held, count)
    :: else
    fi;
    if
    :: held && !count && runs -> /* a batch out of a run, by one CAS */
        d_step {
            hand = LOWEST(runs);
            if
            :: hand != runs -> hand = hand | LOWEST(runs - hand)
            :: else
            fi;
            runs = runs - hand
        };
        pointers[0] = LOWEST(hand);
        if
        :: hand & (hand - 1) -> pointers[1] = hand & (hand - 1); count = 2
        :: else -> count = 1
        fi;
        hand = 0
    :: else
    fi;
    if
    :: held && count ->
        count--;
        d_step {
            hand = pointers[count];
            assert(hand && !(users & hand) && !(runs & hand) && !(front & hand)); /* in one place */
            users = users | hand;
            hand = 0
        };
        if
        :: count -> if
            :: d_step { hand = pointers[0]; assert(!(front & hand)); front = front | hand; hand = 0; count = 0 }
            :: true /* no room, or aborted */
            fi
        :: else
        fi
    :: else
    fi;
    if
    :: held -> put_place(held, count)
    :: else
    fi
}

/* A batch from the front; the one that lay in the place goes to its runs. */
inline make_room()
{
    take_place(FREE, held, count);
    if
    :: !held -> take_place(FULL, held, count)
    :: else
    fi;
    if
    :: held ->
        do
        :: count > 0 ->
            count--;
            d_step { hand = pointers[count]; assert(!(runs & hand) && !(users & hand)); runs = runs | hand; hand = 0 }
        :: count == 0 -> break
        od;
        atomic {
            hand = LOWEST(front);
            if
            :: hand != front -> hand = hand | LOWEST(front - hand)
            :: else
            fi;
            front = front - hand
        };
#ifdef BROKEN_PUT_FIRST
        count = (hand & (hand - 1) -> 2 : (hand -> 1 : 0));
        put_place(held, count);
#endif
        if
        :: hand ->
            pointers[0] = LOWEST(hand);
            count = 1;
            if
            :: hand & (hand - 1) -> pointers[1] = hand & (hand - 1); count = 2
            :: else
            fi;
            hand = 0
        :: else
        fi;
#ifdef BROKEN_PUT_FIRST
        count = 0
#else
        put_place(held, count)
#endif
    :: else
    fi
}

/* Of a user's block, to the front. */
inline free()
{
    d_step {
        hand = LOWEST(users);
        users = users - hand;
        front = front | hand;
        hand = 0
    }
}

#ifdef BROKEN_LOOK_ABOVE
#define LOOK_AT ROOM
#else
#define LOOK_AT COUNT(seen)
#endif

/* Whoever rightly holds a block finds it in no place. */
inline look()
{
    d_step { hand = LOWEST(users); users = users - hand };
    if
    :: hand ->
        seen = word;
        if
        :: STATE(seen) == FULL ->
            at = 0;
            do
            :: at < LOOK_AT -> found = found || pointers[at] == hand; at++
            :: else -> break
            od;
            if
            :: found -> found = word == seen
            :: else
            fi;
            assert(!found)
        :: else
        fi
    :: else
    fi;
    d_step { users = users | hand; hand = 0; seen = 0; at = 0; found = 0 }
}

proctype thread(byte me; byte what)
{
    byte seen, count, hand, n;
    bit held;
    byte at;
    bit found;

    {
        if
        :: what == 0 -> look()
        :: else ->
            do
            :: n < OPS ->
                n++;
                if
                :: refill()
                :: make_room()
                :: free()
                fi
            :: else -> break
            od
        fi
    } unless { killed == me }
}

#if DEATHS
proctype killer()
{
    if
    :: killed = 1
    :: true
    fi
}
#endif

init
{
    byte i = THREADS;

    atomic {
        if
        :: runs = ALL
        :: front = 1; users = 6
        :: front = 3; users = 4
        :: users = 1; word = FULL | 2 << 2; pointers[0] = 2; pointers[1] = 4
        :: users = 1; runs = 2; word = FULL | 1 << 2; pointers[0] = 4
        :: users = 1; front = 2; word = FULL | 1 << 2; pointers[0] = 4
        fi;
#if DEATHS
        run killer();
#endif
        do /* thread 0 looks */
        :: i > 0 -> i--; run thread(i, i)
        :: i == 0 -> break
        od
    };
    d_step {
        _nr_pr == 1 ->
        assert(killed != NOBODY || STATE(word) != BUSY);
        i = (STATE(word) == FULL -> pointers[0] | (COUNT(word) == 2 -> pointers[1] : 0) : 0);
        assert(!(runs & users) && !(runs & front) && !(users & front) && !(i & (runs | users | front)));
        assert(killed != NOBODY || (runs | users | front | i) == ALL)
    }
}
