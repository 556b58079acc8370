/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Kept ranges (lib/kept.c) and the page map's entries of own mappings (lib/mapping.c): four windows of address space,
 * two slots. Threads map memory, take it from the slots, free it into the slots or give it back, from which the system
 * may hand it out again at any time. So a slot's value goes away and comes back while somebody sleeps between his look
 * and his CAS.
 *
 * (1) No window is in two slots, or in a slot and in use. (2) Slots need no version: there is none here. An entry says
 * how long the mapping is from the moment on that it is handed out until its user frees it.
 */
#include "progress.inc"

#define WINDOWS 4
#define SLOTS 2
#define ALL 15
#ifndef THREADS
#define THREADS 3
#endif
#ifndef OPS
#define OPS 2
#endif

/* A range: its first window above, its length in the lower three bits; 0: none. */
#define RANGE(first, length) ((length) -> (first) << 3 | (length) : 0)
#define FIRST(range) ((range) >> 3)
#define LENGTH(range) ((range) & 7)
#define BITS(first, length) (((1 << (length)) - 1) << (first))

byte slots[SLOTS];
byte entries[WINDOWS]; /* length of the mapping that begins there */
byte unmapped; /* windows that are the system's */

/* Ghosts: windows in a slot, and of mappings in users' hands by their first window. */
byte kept;
byte users[WINDOWS];

/* Windows get into the slots by who holds them, and out of them by one CAS. */
inline keep(first, length)
{
    assert(!(kept & BITS(first, length)) && !(unmapped & BITS(first, length)));
    kept = kept | BITS(first, length)
}

inline unkeep(first, length)
{
    assert((kept & BITS(first, length)) == BITS(first, length));
    kept = kept & ~BITS(first, length)
}

/* The memory is ours: into the page map, then to a user. */
inline hand_out()
{
    if
    :: length ->
        d_step { assert(entries[first] == 0); entries[first] = length };
        d_step { assert(!users[first] && !(kept & BITS(first, length))); users[first] = length; first = 0; length = 0 }
    :: else
    fi
}

#define MAP_AT(window) unmapped = unmapped & ~BITS(window, want); first = window; length = want

/* New memory. */
inline map(want)
{
    length = 0;
    if
    :: d_step { unmapped & 1 && (want == 1 || unmapped & 2) -> MAP_AT(0) }
    :: d_step { unmapped & 2 && (want == 1 || unmapped & 4) -> MAP_AT(1) }
    :: d_step { unmapped & 4 && (want == 1 || unmapped & 8) -> MAP_AT(2) }
    :: else
    fi
}

/* aoma_kept_take: the head of a range that is long enough, here any; one attempt. */
inline take(want)
{
    if
    :: at = 0
    :: at = 1
    fi;
    seen = slots[at];
    if
    :: LENGTH(seen) >= want ->
#ifdef BROKEN_STORE_SLOT
        slots[at] = RANGE(FIRST(seen) + want, LENGTH(seen) - want);
        d_step { first = FIRST(seen); length = want; unkeep(first, length) }
#else
        d_step {
            if
            :: slots[at] == seen ->
                slots[at] = RANGE(FIRST(seen) + want, LENGTH(seen) - want);
                first = FIRST(seen);
                length = want;
                unkeep(first, length)
            :: else
            fi
        }
#endif
    :: else
    fi;
    seen = 0;
    at = 0
}

/* aoma_kept_put of first, length. */
inline put()
{
    /* take_neighbour */
    at = 0;
    do
    :: at < SLOTS ->
        seen = slots[at];
        if
        :: seen && FIRST(seen) == first + length ->
#ifdef BROKEN_JOIN_UNTAKEN
            length = length + LENGTH(seen);
            break
#else
            d_step {
                if
                :: slots[at] == seen ->
                    slots[at] = 0;
                    unkeep(FIRST(seen), LENGTH(seen));
                    at = SLOTS;
                    length = length + LENGTH(seen)
                :: else -> at++
                fi
            }
#endif
        :: else -> at++
        fi
    :: else -> break
    od;
    /* lengthen_neighbour */
    at = 0;
    do
    :: at < SLOTS && length ->
        seen = slots[at];
        if
        :: seen && FIRST(seen) + LENGTH(seen) == first ->
            d_step {
                if
                :: slots[at] == seen ->
                    slots[at] = RANGE(FIRST(seen), LENGTH(seen) + length);
                    keep(first, length);
                    length = 0
                :: else -> at++
                fi
            }
        :: else -> at++
        fi
    :: else -> break
    od;
    /* put_alone */
    at = 0;
    do
    :: at < SLOTS && length ->
        d_step {
            if
#ifdef BROKEN_PUT_OVER
            :: true ->
#else
            :: slots[at] == 0 ->
#endif
                slots[at] = RANGE(first, length); keep(first, length); length = 0
            :: else -> at++
            fi
        }
    :: else -> break
    od;
    if
    :: length -> d_step { unmapped = unmapped | BITS(first, length); length = 0 } /* no slot is free */
    :: else
    fi;
    d_step { first = 0; at = 0; seen = 0 }
}

/* aoma_mapping_give. */
inline give()
{
    atomic { /* which, is the user's business */
        if
        :: users[0] -> first = 0
        :: !users[0] && users[1] -> first = 1
        :: !users[0] && !users[1] && users[2] -> first = 2
        :: users[3] && !users[2] -> first = 3
        :: else -> first = WINDOWS
        fi;
        if
        :: first < WINDOWS -> length = users[first]; users[first] = 0
        :: else -> first = 0
        fi
    };
    if
    :: length ->
#ifndef BROKEN_LEAVE_LATE
        d_step { assert(entries[first] == length); entries[first] = 0 };
        put()
#else
        old = first;
        put();
        entries[old] = 0;
        old = 0
#endif
    :: else
    fi
}

/* aoma_kept_release: the tail of a range, or all. */
inline release()
{
    if
    :: at = 0
    :: at = 1
    fi;
    seen = slots[at];
    if
    :: seen ->
        if
        :: length = LENGTH(seen) - 1
        :: length = 0
        fi;
#ifdef BROKEN_UNMAP_FIRST
        d_step { old = unmapped; unmapped = old | BITS(FIRST(seen) + length, LENGTH(seen) - length); old = 0 };
#endif
        d_step {
            if
            :: slots[at] == seen ->
                slots[at] = RANGE(FIRST(seen), length);
                first = FIRST(seen) + length;
                length = LENGTH(seen) - length;
                unkeep(first, length)
            :: else -> length = 0
            fi
        };
        if
        :: length -> d_step { assert(!(unmapped & BITS(first, length))); unmapped = unmapped | BITS(first, length) }
        :: else
        fi
    :: else
    fi;
    d_step { length = 0; first = 0; seen = 0; at = 0 }
}

proctype thread(byte me)
{
    byte first, length, seen, at, n, old;

    do
    :: n < OPS ->
        n++;
        if
        :: take(1); hand_out()
        :: take(2); hand_out()
        :: map(1); hand_out()
        :: map(2); hand_out()
        :: give()
        :: release()
        fi
    :: else -> break
    od
}

init
{
    byte i = THREADS;
    byte seen;

    atomic {
        if
        :: unmapped = ALL
        :: slots[0] = RANGE(0, 2); kept = 3; users[2] = 2; entries[2] = 2
        :: slots[0] = RANGE(1, 2); kept = 6; users[0] = 1; entries[0] = 1; users[3] = 1; entries[3] = 1
        :: slots[0] = RANGE(0, 1); slots[1] = RANGE(2, 2); kept = 13; users[1] = 1; entries[1] = 1
        fi;
        do
        :: i > 0 -> i--; run thread(i)
        :: i == 0 -> break
        od
    };
    d_step {
        _nr_pr == 1 ->
        seen = unmapped;
        do
        :: i < SLOTS ->
            assert(!(seen & BITS(FIRST(slots[i]), LENGTH(slots[i]))));
            seen = seen | BITS(FIRST(slots[i]), LENGTH(slots[i]));
            i++
        :: else -> break
        od;
        i = 0;
        do
        :: i < WINDOWS ->
            assert(users[i] == entries[i] && !(seen & BITS(i, users[i])));
            seen = seen | BITS(i, users[i]);
            i++
        :: else -> break
        od;
        assert(seen == ALL) /* nothing is lost */
    }
}
