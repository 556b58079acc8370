/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * The index of lib/index.c for one key: two segments of one bank, and the bank's bit in the directory. Threads put
 * items into a segment's own word (the ground) and raise, or search, take an item, and lower what they find empty. They
 * begin with any ground and with any bits that are stale.
 *
 * Invariant: if the ground has something, its bit is set, or the thread that made it so has not yet finished raise.
 * With DEATHS=1 one thread may die at any step: then what it was about to announce may stay unseen (5), nothing else.
 * That is what the versions are for: without them, or without the bump of a bit that is set (2), a thread that dies
 * after it has cleared a bit hides what others had announced. Without deaths the second look (4) would be enough.
 */
#include "progress.inc"

#ifndef THREADS
#define THREADS 3
#endif
#ifndef DEATHS
#define DEATHS 1
#endif
#ifndef VERSION_BITS
#define VERSION_BITS 2
#endif
#define SEGMENTS 2
#define BITS 3
#define VERSION_ONE (1 << SEGMENTS)
#define WORD_MASK ((VERSION_ONE << VERSION_BITS) - 1)
#define NOBODY 255

byte ground[SEGMENTS]; /* an item per thread, and one that is there at first */
byte bank;
byte directory; /* bit 0: the bank */

byte announced[SEGMENTS]; /* ghost: items whose threads have finished raise */
byte killed = NOBODY;

/* appeared becomes: the word had no bit before. */
inline raise_word(word, mask, appeared)
{
    d_step { seen = word; ROUND(1) };
    do
    :: !appeared && seen & mask -> seen = 0; appeared = false; break
    :: else ->
#ifdef BROKEN_NO_BUMP
        if
        :: d_step { seen & mask -> appeared = false; seen = 0 }; break
        :: else
        fi;
#endif
        if
        :: d_step {
                word == seen ->
                word = ((seen | mask) + VERSION_ONE) & WORD_MASK;
                appeared = !(seen & BITS);
                CHANGED
            };
            seen = 0;
            break
        :: d_step { word != seen -> seen = word; ROUND(1) }
        fi
    od;
    rounds = 0
}

inline raise_both(s, appeared)
{
    raise_word(bank, 1 << s, appeared);
    raise_word(directory, 1, appeared)
}

inline lower_bank()
{
#ifdef BROKEN_LATE_SNAPSHOT_ABOVE
    if
    :: !(bank & BITS) ->
        snapshot = directory;
#else
    snapshot = directory;
    if
    :: !(bank & BITS) ->
#endif
        if
        :: d_step { directory == snapshot -> directory = snapshot & ~1; CHANGED };
            snapshot = 0;
#ifndef BROKEN_NO_SECOND_LOOK_ABOVE
            if
            :: bank & BITS -> appeared = true; raise_word(directory, 1, appeared); appeared = false
            :: else
            fi
#endif
        :: directory != snapshot
        fi
    :: else
    fi;
    snapshot = 0
}

/* This thread's item. */
inline put(s)
{
#ifdef BROKEN_NO_FENCE
    seen = bank; /* a processor that exchanges the load and the change of the ground */
#endif
    d_step {
        appeared = ground[s] == 0;
        ground[s] = ground[s] | 1 << me;
        CHANGED
    };
#ifndef BROKEN_NO_FENCE
    seen = bank;
#endif
    d_step { due = appeared || !(seen & 1 << s); seen = 0 };
#ifndef BROKEN_ONE_LEVEL_LOOK
    if
    :: !due -> due = !(directory & 1) /* who set the bank's bit may have died before the directory's */
    :: else
    fi;
#endif
    if
    :: due -> due = false; raise_both(s, appeared)
    :: else
    fi;
    d_step { announced[s] = announced[s] | (1 << me & ground[s]); appeared = false }
}

#define TAKE_ITEM(s)                                                                                                   \
    d_step {                                                                                                           \
        ground[s] ->                                                                                                   \
        ground[s] = ground[s] & (ground[s] - 1);                                                                       \
        announced[s] = announced[s] & ground[s];                                                                       \
        CHANGED                                                                                                        \
    }

/* Takes an item, or clears the bit. */
inline look_into(s)
{
#ifdef BROKEN_LATE_SNAPSHOT
    if
    :: TAKE_ITEM(s)
    :: ground[s] == 0 ->
        snapshot = bank;
#else
    snapshot = bank;
    if
    :: TAKE_ITEM(s)
    :: ground[s] == 0 ->
#endif
        if
        :: snapshot & 1 << s ->
            if
            :: d_step { bank == snapshot -> bank = snapshot & ~(1 << s); CHANGED };
                if
                :: !(snapshot & BITS & ~(1 << s)) -> snapshot = 0; lower_bank()
                :: else
                fi;
#ifndef BROKEN_NO_SECOND_LOOK
                if
                :: ground[s] -> appeared = true; raise_both(s, appeared); appeared = false
                :: else
                fi
#endif
            :: bank != snapshot
            fi
        :: else
        fi
    fi;
    snapshot = 0
}

/* The first segment from 0 on. */
inline search()
{
    if
    :: directory & 1 ->
        seen = bank & BITS;
        if
        :: seen & 1 -> seen = 0; s = 0; look_into(s)
        :: seen == 2 -> seen = 0; s = 1; look_into(s)
        :: seen == 0 -> lower_bank()
        fi;
        s = 0
    :: else
    fi
}

proctype thread(byte me; byte what)
{
    byte seen, snapshot, rounds;
    bit appeared, due, s;

    {
        if
        :: what < SEGMENTS -> s = what; put(s)
        :: what == SEGMENTS -> search()
        fi;
    } unless { killed == me }
}

#if DEATHS
proctype killer()
{
    if
    :: killed = 0
    :: killed = THREADS - 1
    :: true
    fi
}
#endif

init
{
    byte i = THREADS;
    byte what = SEGMENTS;

    atomic {
        directory = 1;
        if
        :: bank = 0 /* the directory's bit is stale */
        :: bank = 1 /* the bank's is, or not */
        :: bank = 1; ground[0] = 128
        :: bank = 3; ground[1] = 128
        fi;
        announced[0] = ground[0];
        announced[1] = ground[1];
#if DEATHS
        run killer();
#endif
        do /* any of the three each; in what order makes no difference */
        :: i > 0 && what > 0 -> what--
        :: i > 0 -> i--; run thread(i, what)
        :: i == 0 -> what = 0; break
        od
    };
    d_step {
        _nr_pr == 1 ->
        assert(!announced[0] || (bank & 1 && directory & 1)); /* a bit is never missing */
        assert(!announced[1] || (bank & 2 && directory & 1));
        assert(killed != NOBODY || ((!ground[0] || bank & 1) && (!ground[1] || bank & 2)));
        assert(killed != NOBODY || !(bank & BITS) || directory & 1)
    }
}
