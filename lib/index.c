/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * A two-level index of hints, instead of a stack of runs per class: a bit can be cleared by whoever empties a run, so
 * no stale entry outlives it, no descriptor is tied up in a list, and the search may go in address order.
 *
 * Each word holds 32 bits and above them a 32-bit version. Call a segment's own word for a key (a class's `partial`
 * word, or the free chunks that satisfy an order) the ground.
 *
 * Invariant: if the ground has something, then its bit is set, or the thread that made it so has not yet finished
 * aoma_index_raise.
 *
 * (1) A bit is cleared only by lower, with a CAS from a snapshot that was read before the ground was seen to have
 *     nothing.
 * (2) The thread whose change gave the ground something always bumps the word's version, even if the bit is set already
 *     (appeared). If the change came after the look at the ground, then the bump comes after the snapshot: either
 *     before the CAS of (1), which then fails on the version, or after it, and sets the bit again. If it came before
 *     the look, lower is not called.
 * (3) The same holds between a bank's word (now the ground) and the directory's word, which lower and raise treat
 *     alike.
 * (4) Who changes a ground that had something already does not bump, and relies on the set bits; one may be a stale one
 *     that stands because (2)'s thread is still on its way. So lower's caller looks at the ground once more after the
 *     bit is cleared, and raises if it has something.
 * (5) A thread that dies between its change and its raise leaves at most that one run or range unseen, until the next
 *     raise in this word: every raise also sets a bit that it finds clear, and who does not bump looks at both levels
 *     (a thread may have died after the first). (To hide what others put there, a second thread would have to die
 *     between clearing the bit and the look of (4).)
 *
 * The version could deceive only a thread that slept in lower through exactly a multiple of 2^32 raises of one word,
 * and the effect would be that of (5).
 *
 * Order: raise's CAS is full, and so was the change of the ground before it; lower reads snapshot (acquire), then
 * ground, then CASes (full).
 *
 * Progress: raise retries only when another thread changed the word; lower never retries; next runs over a bounded
 * number of words.
 */
#include "index.h"

#define BITS_MASK UINT64_C(0xffffffff)
#define VERSION_ONE (BITS_MASK + 1)

struct aoma_directory aoma_directories[AOMA_DIRECTORIES];
static struct aoma_bank static_banks[AOMA_STATIC_BANKS];
static struct aoma_ptr banks[AOMA_BANKS]; /* those that are not static */

struct aoma_bank *aoma_index_bank(uint32_t bank)
{
    if (bank < AOMA_STATIC_BANKS)
        return &static_banks[bank];
    return (struct aoma_bank *)aoma_ptr_load_acquire(&banks[bank]);
}

struct aoma_bank *aoma_index_require_bank(uint32_t bank, struct aoma_spare *spare)
{
    struct aoma_bank *made = aoma_index_bank(bank);

    if (made)
        return made;
    made = aoma_source_metadata(sizeof *made, spare);
    if (!made)
        return NULL;
    if (aoma_ptr_cas_full(&banks[bank], 0, (uintptr_t)made))
        return made;
    aoma_source_metadata_return(made, sizeof *made, spare);
    return aoma_index_bank(bank);
}

static uint64_t segment_bit(const struct aoma_segment *segment)
{
    return (uint64_t)1 << (segment->number % AOMA_BANK_SEGMENTS);
}

static uint32_t bank_number(const struct aoma_segment *segment)
{
    return segment->number >> AOMA_BANK_SHIFT;
}

static struct aoma_word *directory_word(uint32_t bank, unsigned key)
{
    return &aoma_directories[bank >> AOMA_DIRECTORY_SHIFT].present[key];
}

static uint64_t bank_bit(uint32_t bank)
{
    return (uint64_t)1 << (bank % AOMA_DIRECTORY_BANKS);
}

/* Returns whether the word had no bit before, so that the level above is due. */
static bool raise_word(struct aoma_word *word, uint64_t bit, bool appeared)
{
    uint64_t old = aoma_load_acquire(word);

    do {
        if (!appeared && (old & bit))
            return false;
    } while (!aoma_cas_full(word, &old, (old | bit) + VERSION_ONE));
    aoma_fence_after_rmw(); /* pairs with lower_bank's */
    return (old & BITS_MASK) == 0;
}

void aoma_index_raise(struct aoma_segment *segment, unsigned key, bool appeared)
{
    uint32_t bank = bank_number(segment);

    appeared = raise_word(&segment->bank->present[key], segment_bit(segment), appeared);
    raise_word(directory_word(bank, key), bank_bit(bank), appeared);
}

uint64_t aoma_index_snapshot(const struct aoma_segment *segment, unsigned key)
{
    return aoma_load_acquire(&segment->bank->present[key]);
}

static bool bank_has(uint32_t bank, unsigned key)
{
    return (aoma_load_acquire(&aoma_index_bank(bank)->present[key]) & BITS_MASK) != 0;
}

static void lower_bank(uint32_t bank, unsigned key)
{
    struct aoma_word *word = directory_word(bank, key);
    uint64_t snapshot = aoma_load_acquire(word);

    if (bank_has(bank, key) || !aoma_cas_full(word, &snapshot, snapshot & ~bank_bit(bank)))
        return;
    aoma_fence_after_rmw(); /* pairs with raise_word's on the bank's word */
    if (bank_has(bank, key))
        (void)raise_word(word, bank_bit(bank), true);
}

bool aoma_index_lower(struct aoma_segment *segment, unsigned key, uint64_t snapshot)
{
    uint64_t lowered = snapshot & ~segment_bit(segment);

    if (lowered == snapshot || !aoma_cas_full(&segment->bank->present[key], &snapshot, lowered))
        return false;
    if ((lowered & BITS_MASK) == 0)
        lower_bank(bank_number(segment), key);
    aoma_fence_after_rmw(); /* pairs with aoma_index_raise_if's */
    return true;
}

/* The bits of word at position from and above. */
static uint64_t bits_from(const struct aoma_word *word, unsigned from)
{
    return aoma_load_acquire(word) & BITS_MASK & (BITS_MASK << from);
}

uint32_t aoma_index_next(unsigned key, uint32_t from, uint32_t to)
{
    while (from < to) {
        uint32_t bank = from >> AOMA_BANK_SHIFT;
        uint64_t bits = bits_from(directory_word(bank, key), bank % AOMA_DIRECTORY_BANKS);

        if (!bits) {
            from = ((bank >> AOMA_DIRECTORY_SHIFT) + 1) << (AOMA_DIRECTORY_SHIFT + AOMA_BANK_SHIFT);
            continue;
        }
        if (aoma_lowest_bit(bits) != bank % AOMA_DIRECTORY_BANKS) {
            bank = (bank & ~(AOMA_DIRECTORY_BANKS - 1)) + aoma_lowest_bit(bits);
            from = bank << AOMA_BANK_SHIFT;
        }
        bits = bits_from(&aoma_index_bank(bank)->present[key], from % AOMA_BANK_SEGMENTS);
        if (bits) {
            from = (bank << AOMA_BANK_SHIFT) + aoma_lowest_bit(bits);
            return from < to ? from : AOMA_INDEX_NONE;
        }
        if (from % AOMA_BANK_SEGMENTS == 0)
            lower_bank(bank, key); /* the directory's bit was stale */
        from = (bank + 1) << AOMA_BANK_SHIFT;
    }
    return AOMA_INDEX_NONE;
}
