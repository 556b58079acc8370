/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * What the release of a kernel, "6.12.3-some-text", says about restartable sequences on aarch64. Linux 6.19 and 7.0
 * restart a section there when its thread is migrated, but not when it is preempted and goes on on the same CPU, which
 * another thread had meanwhile. 7.1 was mended before its release, not in all of its candidates.
 *
 * Only what is known is trusted: a release that cannot be read is not, nor is one below 5.10, the first with
 * membarrier's command. That leaves out the 2.6 that personality(UNAME26) makes of all, and what some sandboxes say.
 */
#ifndef AOMA_PERCPU_RELEASE_H
#define AOMA_PERCPU_RELEASE_H

#include <stdbool.h>

#include "compiler.h"

#define AOMA_RELEASE(major, minor) ((major)*1000 + (minor))

/* The number that *text begins with, and moves *text behind it; -1: there is none below 1000. */
AOMA_INLINE int aoma_release_number(const char **text)
{
    int number = -1;

    while (**text >= '0' && **text <= '9' && number < 1000)
        number = (number < 0 ? 0 : number * 10) + (*(*text)++ - '0');
    return number < 1000 ? number : -1;
}

AOMA_INLINE bool aoma_release_is_candidate(const char *text)
{
    for (; *text; text++) {
        if (text[0] == '-' && text[1] == 'r' && text[2] == 'c')
            return true;
    }
    return false;
}

AOMA_INLINE bool aoma_release_restarts_when_preempted(const char *text)
{
    int major = aoma_release_number(&text);

    if (major < 0 || *text++ != '.')
        return false;
    int minor = aoma_release_number(&text);
    if (minor < 0)
        return false;

    int release = AOMA_RELEASE(major, minor);
    if (release == AOMA_RELEASE(7, 1))
        return !aoma_release_is_candidate(text);
    return (release >= AOMA_RELEASE(5, 10) && release < AOMA_RELEASE(6, 19)) || release > AOMA_RELEASE(7, 1);
}

#endif /* AOMA_PERCPU_RELEASE_H */
