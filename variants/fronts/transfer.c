/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Correctness: (1) A place has one holder, who won the CAS to BUSY, until it stores another state. (2) The store
 * releases the pointers, the CAS acquires them. (3) The words need no version for that, since they are level-triggered:
 * a CAS on a word that went away and came back takes a place that is FREE, or holds what it says, now. The version is
 * for aoma_transfer_has: a word that has not changed between two looks says that the pointers between were its.
 *
 * Progress: wait-free: one look at each place, and at most one CAS on each.
 */
#include "transfer.h"

#include "owner.h"

#define STATE_MASK UINT64_C(3)
#define STATE_FREE UINT64_C(0)
#define STATE_BUSY UINT64_C(1)
#define STATE_FULL UINT64_C(2)
#define COUNT_SHIFT 2
#define COUNT_MASK 255u
#define VERSION_ONE (UINT64_C(1) << 10)

_Static_assert(AOMA_FRONT_BATCH_MAX <= COUNT_MASK, "the count fits its field");

/* Apart from the blocks, so that who looks at all classes touches two pages, not one for each. */
static struct class_words {
    struct aoma_word word[AOMA_TRANSFER_PLACES];
} __attribute__((aligned(64))) words[AOMA_CLASSES];

static void *blocks[AOMA_CLASSES][AOMA_TRANSFER_PLACES][AOMA_FRONT_BATCH_MAX] __attribute__((aligned(64)));

static uint64_t next_word(uint64_t word, uint64_t state, unsigned count)
{
    return (word & ~(VERSION_ONE - 1)) + VERSION_ONE + ((uint64_t)count << COUNT_SHIFT) + state;
}

static unsigned count_of(uint64_t word)
{
    return (unsigned)(word >> COUNT_SHIFT) & COUNT_MASK;
}

/* Order: acquire pairs with aoma_transfer_put. */
static bool take(unsigned class, uint64_t state, struct aoma_transfer *place)
{
    struct class_words *places = &words[class];
    unsigned first = aoma_number() * (AOMA_TRANSFER_PLACES / 2); /* neighbours begin apart: what one gave it gets */

    for (unsigned n = 0; n < AOMA_TRANSFER_PLACES; n++) {
        unsigned i = (first + n) % AOMA_TRANSFER_PLACES;
        uint64_t word = aoma_load_relaxed(&places->word[i]);

        if ((word & STATE_MASK) != state)
            continue;
        place->count = count_of(word);
        if (aoma_cas_acquire(&places->word[i], &word, next_word(word, STATE_BUSY, 0))) {
            place->word = &places->word[i];
            place->blocks = blocks[class][i];
            return true;
        }
    }
    return false;
}

bool aoma_transfer_take_full(unsigned class, struct aoma_transfer *place)
{
    return take(class, STATE_FULL, place);
}

bool aoma_transfer_take_free(unsigned class, struct aoma_transfer *place)
{
    return take(class, STATE_FREE, place);
}

bool aoma_transfer_take_room(unsigned class, struct aoma_transfer *place)
{
    return take(class, STATE_FREE, place) || take(class, STATE_FULL, place);
}

void aoma_transfer_put(const struct aoma_transfer *place)
{
    uint64_t word = aoma_load_relaxed(place->word); /* BUSY: nobody else changes it */

    aoma_store_release(place->word, next_word(word, place->count ? STATE_FULL : STATE_FREE, place->count));
}

AOMA_NO_TSAN static bool place_has(unsigned class, unsigned i, const void *block)
{
    uint64_t word = aoma_load_acquire(&words[class].word[i]);
    bool found = false;

    if ((word & STATE_MASK) != STATE_FULL)
        return false;
    for (unsigned at = 0; at < count_of(word); at++)
        found |= *(void *const volatile *)&blocks[class][i][at] == block;
    aoma_fence_full(); /* the second look comes after */
    return found && aoma_load_relaxed(&words[class].word[i]) == word;
}

bool aoma_transfer_has(unsigned class, const void *block)
{
    for (unsigned i = 0; i < AOMA_TRANSFER_PLACES; i++) {
        if (place_has(class, i, block))
            return true;
    }
    return false;
}

size_t aoma_transfer_count(unsigned class)
{
    size_t count = 0;

    for (unsigned i = 0; i < AOMA_TRANSFER_PLACES; i++)
        count += count_of(aoma_load_acquire(&words[class].word[i]));
    return count;
}
