/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * A block that is given back twice (lib/run.h: aoma_run_give, aoma_run_fail_double_free): the second addition finds the
 * bit set, carries into other bits, and is taken out again before the process ends. What a handler of SIGABRT finds
 * then, while other threads give their blocks back in the window between the two additions.
 *
 * Two limits, which docs/design.md states, are here as variants in which an error must be found: a thread that takes a
 * block in the window may get one that is in use (TAKER), and a right free may find its bit set by the carry, and be
 * accused (ACCUSED). Either way the process is about to end.
 */
#define BITS 15
#define LOWEST(bits) ((bits) & -(bits))

byte word;
byte truth; /* ghost: the blocks that are free */

/* Of block 1, which is free. Additions wrap around as those of the code do. */
proctype twice(byte bit_of)
{
    byte before;

    atomic {
        if
        :: truth & bit_of -> before = word; word = (word + bit_of) & BITS
        :: else -> goto done /* it has been handed out again: no second free */
        fi
    };
    assert(before & bit_of); /* it is noticed */
#ifndef BROKEN_NO_UNDO
    word = (word + 16 - bit_of) & BITS
#endif
    ;
done:
    skip
}

proctype give(byte bit_of)
{
    byte before;

    atomic { before = word; word = (word + bit_of) & BITS; truth = truth | bit_of };
    if
    :: before & bit_of ->
#ifdef ACCUSED
        assert(false);
#endif
        atomic { word = (word + 16 - bit_of) & BITS; truth = truth & ~bit_of }
    :: else
    fi
}

#ifdef TAKER
proctype taker()
{
    byte bit_of;

    atomic {
        bit_of = LOWEST(word);
        word = word - bit_of;
        assert(!bit_of || truth & bit_of); /* it was free */
        truth = truth & ~bit_of
    }
}
#endif

init
{
    atomic {
        if
        :: truth = 1
        :: truth = 9
        fi;
        word = truth;
        run twice(1);
        run give(2);
        run give(4);
#ifdef TAKER
        run taker()
#endif
    };
    d_step {
        _nr_pr == 1 ->
        assert(word == truth) /* a handler of SIGABRT finds the heap as it was */
    }
}
