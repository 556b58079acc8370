/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Shared words:
 *
 *   slots       A range each: its address and length, or 0. A range in a slot is nobody's; every change is a CAS by
 *               which it becomes, wholly or in part, the one's who made it, or by which what was his joins it:
 *                   0 -> range              put
 *                   range -> 0              taken whole, joined to what is being put, or released
 *                   range -> its tail       its head is taken
 *                   range -> its head       its tail is released
 *                   range -> a longer one   what is put begins where it ends
 *   kept, used  sums; added to before a range is put and after it was taken, so kept is never too low
 *   low_water, put_count
 *               hints, any value written will do: at worst a period is cut short or some ranges go back too early
 *
 * (1) No byte is in two slots, or in a slot and in use: a range gets into a slot by its holder, and by one CAS. (2) A
 * slot needs no version: its value says all there is to know of the range, so if it went and came back meanwhile, the
 * same memory is free now. (3) All CASes are full: who takes a range sees it after the last accesses of those who put
 * its parts. (4) A stale reader's CAS fails, or he misses a neighbour, which then stays apart until one of both moves.
 *
 * Progress: lock-free; a CAS that fails means that another thread got or put a range. Bounded: a look goes over all
 * slots, a release over as many ranges as there are slots. A thread killed in between loses what it held: what it was
 * putting with the range behind it, or what it was releasing.
 *
 * What is kept through a period of puts without being needed, the low water, is halved at its end, as tcmalloc does
 * with its caches: a measure of time where no clock may be read.
 */
#include "atomics.h"
#include "kept.h"
#include "source.h"

#define AOMA_KEPT_SLOTS 64u
#define AOMA_KEPT_PERIOD_PUTS 128u
#define AOMA_KEPT_SHARE_SHIFT 1 /* half of what is in use does not give way to new mappings */

/* Address >> 12 above, number of pages below. Pages here are 4 KiB everywhere. */
#define AOMA_SLOT_PAGE_SHIFT 12
#define AOMA_SLOT_PAGES_BITS 28
#define AOMA_SLOT_PAGES_MASK (((uint64_t)1 << AOMA_SLOT_PAGES_BITS) - 1)

static struct aoma_word slots[AOMA_KEPT_SLOTS];
static struct aoma_counter kept, used;
static struct aoma_hint low_water;
static struct aoma_hint put_count;

static uintptr_t slot_address(uint64_t slot)
{
    return (uintptr_t)(slot >> AOMA_SLOT_PAGES_BITS << AOMA_SLOT_PAGE_SHIFT);
}

static size_t slot_bytes(uint64_t slot)
{
    return (size_t)(slot & AOMA_SLOT_PAGES_MASK) << AOMA_SLOT_PAGE_SHIFT;
}

static uint64_t slot_of(uintptr_t address, size_t bytes)
{
    return bytes ? (uint64_t)(address >> AOMA_SLOT_PAGE_SHIFT) << AOMA_SLOT_PAGES_BITS | bytes >> AOMA_SLOT_PAGE_SHIFT
                 : 0;
}

/* ---- sums ---- */

size_t aoma_kept_bytes(void)
{
    return aoma_counter_sum(&kept);
}

size_t aoma_kept_use_bytes(void)
{
    return aoma_counter_sum(&used);
}

static size_t beyond_use(size_t bytes)
{
    size_t use = aoma_kept_use_bytes();

    return bytes > use ? bytes - use : 0;
}

size_t aoma_kept_excess(void)
{
    return beyond_use(aoma_kept_bytes());
}

/* The sum itself is never too low, but for good too high by what a thread had in its hands that died, or a handler that
 * left. */
static size_t count_slots(void)
{
    size_t bytes = 0;

    for (unsigned i = 0; i < AOMA_KEPT_SLOTS; i++)
        bytes += slot_bytes(aoma_load_relaxed(&slots[i]));
    return bytes;
}

size_t aoma_kept_counted_excess(void)
{
    return beyond_use(count_slots());
}

void aoma_kept_count_use(size_t add, size_t sub)
{
    if (add != sub)
        aoma_counter_add(&used, add - sub);
}

static void count_out(size_t bytes)
{
    aoma_counter_add(&kept, (size_t)0 - bytes);
    if (aoma_kept_bytes() < aoma_hint_get(&low_water))
        aoma_hint_set(&low_water, aoma_kept_bytes());
}

/* ---- taking ---- */

/* The shortest range that suits, and what its slot says; AOMA_KEPT_SLOTS: none does. */
static unsigned best_fit(size_t bytes, size_t align, uint64_t *best)
{
    unsigned found = AOMA_KEPT_SLOTS;

    for (unsigned i = 0; i < AOMA_KEPT_SLOTS; i++) {
        uint64_t slot = aoma_load_relaxed(&slots[i]);

        if (slot_bytes(slot) >= bytes && (slot_address(slot) & (align - 1)) == 0 &&
            (found == AOMA_KEPT_SLOTS || slot_bytes(slot) < slot_bytes(*best))) {
            found = i;
            *best = slot;
        }
    }
    return found;
}

void *aoma_kept_take(size_t *bytes, size_t align)
{
    uint64_t slot = 0;
    unsigned i;

    while ((i = best_fit(*bytes, align, &slot)) < AOMA_KEPT_SLOTS) {
        uintptr_t address = slot_address(slot);
        size_t rest = slot_bytes(slot) - *bytes;

        if (rest < AOMA_SEGMENT_BYTES)
            rest = 0; /* no mapping is that short */
        size_t taken = slot_bytes(slot) - rest;
        if (aoma_cas_full(&slots[i], &slot, slot_of(address + taken, rest))) {
            count_out(taken);
            *bytes = taken;
            return (void *)address;
        }
    }
    return NULL;
}

/* Which slot has the longest range, and what it says; AOMA_KEPT_SLOTS: all are empty. */
static unsigned longest(uint64_t *best)
{
    unsigned found = AOMA_KEPT_SLOTS;

    *best = 0;
    for (unsigned i = 0; i < AOMA_KEPT_SLOTS; i++) {
        uint64_t slot = aoma_load_relaxed(&slots[i]);

        if (slot_bytes(slot) > slot_bytes(*best)) {
            found = i;
            *best = slot;
        }
    }
    return found;
}

size_t aoma_kept_take_longest(size_t least, size_t below, void **mem)
{
    uint64_t slot;
    unsigned i;

    while ((i = longest(&slot)) < AOMA_KEPT_SLOTS && slot_bytes(slot) >= least && slot_bytes(slot) < below) {
        size_t bytes = slot_bytes(slot);

        *mem = (void *)slot_address(slot);
        if (aoma_cas_full(&slots[i], &slot, 0)) {
            count_out(bytes);
            return bytes;
        }
    }
    return 0;
}

/* ---- putting ---- */

/* What can be said in a slot. */
static bool fits_slot(size_t bytes)
{
    return bytes >> AOMA_SLOT_PAGE_SHIFT <= AOMA_SLOT_PAGES_MASK;
}

/* The range that begins at address becomes the caller's, who has bytes before it; its bytes, or 0. */
static size_t take_neighbour(uintptr_t address, size_t before)
{
    for (unsigned i = 0; i < AOMA_KEPT_SLOTS; i++) {
        uint64_t slot = aoma_load_relaxed(&slots[i]);
        size_t bytes = slot_bytes(slot);

        if (slot && slot_address(slot) == address && fits_slot(before + bytes) && aoma_cas_full(&slots[i], &slot, 0))
            return bytes;
    }
    return 0;
}

/* Whether there was a range that ends at address, and is longer by bytes now. */
static bool lengthen_neighbour(uintptr_t address, size_t bytes)
{
    for (unsigned i = 0; i < AOMA_KEPT_SLOTS; i++) {
        uint64_t slot = aoma_load_relaxed(&slots[i]);

        if (slot && slot_address(slot) + slot_bytes(slot) == address && fits_slot(slot_bytes(slot) + bytes) &&
            aoma_cas_full(&slots[i], &slot, slot_of(slot_address(slot), slot_bytes(slot) + bytes)))
            return true;
    }
    return false;
}

static bool put_alone(uint64_t range)
{
    for (unsigned i = 0; i < AOMA_KEPT_SLOTS; i++) {
        uint64_t empty = 0;

        if (!aoma_load_relaxed(&slots[i]) && aoma_cas_full(&slots[i], &empty, range))
            return true;
    }
    return false;
}

static void end_period(void)
{
    size_t unneeded = aoma_hint_get(&low_water);
    size_t sum = aoma_kept_bytes();
    size_t counted = count_slots();
    size_t lost = sum > counted ? sum - counted : 0; /* also what others are in the middle of */

    aoma_hint_set(&low_water, sum);
    if (unneeded > lost)
        (void)aoma_kept_release((unneeded - lost) / 2);
}

static void count_put(void)
{
    size_t count = aoma_hint_get(&put_count) + 1;

    aoma_hint_set(&put_count, count < AOMA_KEPT_PERIOD_PUTS ? count : 0);
    if (count >= AOMA_KEPT_PERIOD_PUTS)
        end_period();
}

void aoma_kept_put(void *mem, size_t bytes)
{
    uintptr_t address = (uintptr_t)mem;

    if (bytes <= AOMA_KEPT_LONGEST_BYTES) {
        aoma_counter_add(&kept, bytes);
        bytes += take_neighbour(address + bytes, bytes);
        if (!lengthen_neighbour(address, bytes) && !put_alone(slot_of(address, bytes))) {
            count_out(bytes);
            aoma_source_unmap(mem, bytes);
        }
    } else {
        aoma_source_unmap(mem, bytes);
    }
    count_put();
}

/* ---- giving back ---- */

size_t aoma_kept_release(size_t bytes)
{
    size_t released = 0;
    unsigned ranges = 0;
    uint64_t slot;
    unsigned i;

    while (released < bytes && ranges < AOMA_KEPT_SLOTS && (i = longest(&slot)) < AOMA_KEPT_SLOTS) {
        uintptr_t address = slot_address(slot);
        size_t whole = slot_bytes(slot), left = 0;

        if (whole > bytes - released)
            left = (whole - (bytes - released)) & ~(size_t)AOMA_SEGMENT_MASK;
        if (!aoma_cas_full(&slots[i], &slot, slot_of(address, left)))
            continue;
        count_out(whole - left);
        aoma_source_unmap((void *)(address + left), whole - left);
        released += whole - left;
        ranges++;
    }
    return released;
}

void aoma_kept_give_way(size_t bytes)
{
    size_t share = aoma_kept_use_bytes() >> AOMA_KEPT_SHARE_SHIFT;
    size_t all = bytes && aoma_kept_bytes() > share ? count_slots() : 0;

    if (all > share)
        (void)aoma_kept_release(bytes < all - share ? bytes : all - share);
}
