/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Correctness. A chunk has at most one holder: whoever set its bit in `taken` by a CAS that saw it clear, until that
 * holder clears it. Bits are level-triggered (clear means free whatever happened before), so the words need no version:
 * a CAS that succeeds on a value that went away and came back takes chunks that are free now.
 *
 * (1) Nobody can take a chunk before it is in `owned`, and owned is set last when memory is added. Adding is
 * idempotent, so any number of threads may add the static heap at once and a thread that stops half-way delays nobody.
 * (2) `dirty` and `pinned` bits of a chunk are written by its holder (or before it is owned); `taken` is cleared after
 * them with full order, which pairs with the CAS of the next holder. (3) A segment's window -> segment entry in the
 * page map, once set, stays; so do banks. A pointer to a segment is good for ever. (4) Free ranges are found through
 * the index: whoever makes a free range of 2^k chunks appear raises order k (index.c).
 *
 * Progress: lock-free; each retried CAS failed because another thread took or gave chunks of the same segment. Bounded:
 * a search tries at most AOMA_SEGMENT_TRIES segments that might be too fragmented, then only such as promise a range
 * that is long enough.
 */
#include "fail.h"
#include "idle.h"
#include "index.h"
#include "kept.h"
#include "os.h"
#include "page_map.h"
#include "segment.h"

/* Segments tried whose longest free range may be just too short: more than a 2 MiB heap has. */
#define AOMA_SEGMENT_TRIES 8u

/* A segment's dirty free chunks before it is worth a system call, unless all of it is free. */
#define AOMA_PURGE_CHUNKS 4u

static struct aoma_ptr static_installed;  /* 0 -> 1 once, released behind what it tells; installing again is harmless */
static struct aoma_counter numbers_taken; /* beyond the static segments' */

uint32_t aoma_segment_numbers(void)
{
    const uint32_t most = AOMA_MAX_SEGMENTS;
    size_t numbers = AOMA_STATIC_SEGMENTS + aoma_counter_get(&numbers_taken);

    return numbers < most ? (uint32_t)numbers : most;
}

struct aoma_segment *aoma_segment_by_number(uint32_t number)
{
    struct aoma_bank *bank = aoma_index_bank(number >> AOMA_BANK_SHIFT);
    struct aoma_segment *segment = bank ? &bank->segment[number % AOMA_BANK_SEGMENTS] : NULL;

    return segment && aoma_load_acquire(&segment->owned) ? segment : NULL;
}

/* ---- ranges of bits ---- */

/* The positions at which n consecutive bits are set. */
static uint64_t range_starts(uint64_t bits, unsigned n)
{
    unsigned have = 1;

    for (; have * 2 <= n; have *= 2)
        bits &= bits >> have;
    return n > have ? bits & (bits >> (n - have)) : bits;
}

/* The positions that are a multiple of align, a power of two up to 64. */
static uint64_t aligned_positions(unsigned align)
{
    uint64_t bits = 1;

    for (unsigned step = AOMA_SEGMENT_CHUNKS / 2; step >= align; step /= 2)
        bits |= bits << step;
    return bits;
}

/* After chunks became free: lets the index know of every order that the segment satisfies now. */
static void raise_orders(struct aoma_segment *segment, uint64_t free_before, uint64_t free_after)
{
    for (unsigned order = 0; free_after; order++) {
        aoma_index_raise_if(segment, AOMA_KEY_FREE(order), !free_before);
        if (order == AOMA_FREE_ORDERS - 1)
            break;
        free_before &= free_before >> (1u << order);
        free_after &= free_after >> (1u << order);
    }
}

/* The check level `expensive`: what holds at any moment. owned only grows, so it is read last. */
static void check_segment(const struct aoma_segment *segment)
{
    uint64_t taken = aoma_load_acquire(&segment->taken);

    if (taken & ~aoma_load_acquire(&segment->owned))
        aoma_fail_invariant("a chunk is in use that its segment does not own");
}

/* ---- taking and giving ---- */

static bool take_bits(struct aoma_segment *segment, uint64_t *taken, uint64_t bits)
{
    return aoma_cas_full(&segment->taken, taken, *taken | bits);
}

static size_t chunks_bytes(uint64_t bits)
{
    return (size_t)aoma_count_bits(bits) << AOMA_CHUNK_SHIFT;
}

/* Bytes of these chunks that purging would save. */
static size_t purgeable_bytes(const struct aoma_segment *segment, uint64_t bits)
{
    return chunks_bytes(bits & ~aoma_load_acquire(&segment->pinned));
}

/* The chunks are ours now; whether they are zero. */
static bool account_taken(struct aoma_segment *segment, uint64_t bits)
{
    uint64_t dirty = aoma_load_acquire(&segment->dirty) & bits;

    if (dirty)
        aoma_idle_count_dirty(0, purgeable_bytes(segment, dirty));
    aoma_idle_note_taken(chunks_bytes(bits & ~dirty));
    return dirty == 0;
}

static struct aoma_run *take_from(struct aoma_segment *segment, unsigned n, unsigned align, bool *clean)
{
    uint64_t owned = aoma_load_acquire(&segment->owned);
    uint64_t taken = aoma_load_acquire(&segment->taken);
    uint64_t starts;

    while ((starts = range_starts(owned & ~taken, n) & aligned_positions(align)) != 0) {
        unsigned first = aoma_lowest_bit(starts);

        if (take_bits(segment, &taken, aoma_chunk_bits(first, n))) {
            *clean = account_taken(segment, aoma_chunk_bits(first, n));
            return &segment->run[first];
        }
    }
    return NULL;
}

/* Takes from the segment, or else corrects the index if the segment does not even satisfy the order. */
static struct aoma_run *try_segment(uint32_t number, unsigned order, unsigned n, unsigned align, bool *clean)
{
    struct aoma_segment *segment = &aoma_index_bank(number >> AOMA_BANK_SHIFT)->segment[number % AOMA_BANK_SEGMENTS];
    uint64_t snapshot = aoma_index_snapshot(segment, AOMA_KEY_FREE(order));
    struct aoma_run *run = take_from(segment, n, align, clean);

    if (!run && !range_starts(aoma_segment_free_chunks(segment), 1u << order) &&
        aoma_index_lower(segment, AOMA_KEY_FREE(order), snapshot) &&
        range_starts(aoma_segment_free_chunks(segment), 1u << order))
        aoma_index_raise(segment, AOMA_KEY_FREE(order), true);
    return run;
}

struct aoma_run *aoma_segment_take(unsigned n, unsigned align_chunks, bool *clean)
{
    uint32_t numbers = aoma_segment_numbers();
    unsigned sure_order = aoma_ceil_log2(n + align_chunks - 1);
    unsigned maybe_order = aoma_ceil_log2(n + 1) - 1;
    struct aoma_run *run = NULL;
    uint32_t number = 0;

    if (sure_order >= AOMA_FREE_ORDERS)
        sure_order = AOMA_FREE_ORDERS - 1; /* all of a window: any alignment up to its own */
    for (unsigned tries = 0; maybe_order < sure_order && tries < AOMA_SEGMENT_TRIES && !run; tries++, number++) {
        number = aoma_index_next(AOMA_KEY_FREE(maybe_order), number, numbers);
        if (number == AOMA_INDEX_NONE)
            return NULL; /* no segment has a range of even the lower order */
        run = try_segment(number, maybe_order, n, align_chunks, clean);
    }
    number = 0;
    while (!run && (number = aoma_index_next(AOMA_KEY_FREE(sure_order), number, numbers)) != AOMA_INDEX_NONE)
        run = try_segment(number, sure_order, n, align_chunks, clean);
    return run;
}

bool aoma_segment_take_at(struct aoma_segment *segment, unsigned first, unsigned n)
{
    if (first + n > AOMA_SEGMENT_CHUNKS)
        return false;
    uint64_t bits = aoma_chunk_bits(first, n);
    uint64_t owned = aoma_load_acquire(&segment->owned);
    uint64_t taken = aoma_load_acquire(&segment->taken);

    while ((owned & ~taken & bits) == bits) {
        if (take_bits(segment, &taken, bits)) {
            (void)account_taken(segment, bits);
            return true;
        }
    }
    return false;
}

static void give_bits(struct aoma_segment *segment, uint64_t bits)
{
    uint64_t taken_before = aoma_fetch_clear_full(&segment->taken, bits);
    aoma_fence_after_rmw(); /* pairs with own's: of two that join ranges one sees both */
    uint64_t before = aoma_load_acquire(&segment->owned) & ~taken_before;

    if (AOMA_CHECKS_EXPENSIVE)
        check_segment(segment);
    AOMA_ASSERT((before & bits) == 0);
    raise_orders(segment, before, before | bits);
}

void aoma_segment_give(struct aoma_segment *segment, unsigned first, unsigned n)
{
    uint64_t bits = aoma_chunk_bits(first, n);

    if ((aoma_load_relaxed(&segment->dirty) & bits) !=
        bits) /* mostly they are: each chunk's bit is its holder's to write */
        aoma_fetch_or_full(&segment->dirty, bits);
    aoma_idle_count_dirty(purgeable_bytes(segment, bits), 0);
    give_bits(segment, bits);
    aoma_idle_note_given((size_t)n << AOMA_CHUNK_SHIFT); /* last, so that little is kept over a call */
}

/* ---- purging ---- */

static void *chunk_address(const struct aoma_segment *segment, uint64_t range)
{
    return (void *)(segment->base + ((uintptr_t)aoma_lowest_bit(range) << AOMA_CHUNK_SHIFT));
}

/* All chunks of the pages that have one of these. Where a page is no larger than a chunk, the chunks themselves. */
static uint64_t pages_of(uint64_t bits)
{
    uint64_t pages = 0;

    if (AOMA_PAGE_CHUNKS == 1)
        return bits;
    for (unsigned first = 0; first < AOMA_SEGMENT_CHUNKS; first += AOMA_PAGE_CHUNKS) {
        if (bits & aoma_chunk_bits(first, AOMA_PAGE_CHUNKS))
            pages |= aoma_chunk_bits(first, AOMA_PAGE_CHUNKS);
    }
    return pages;
}

/* Those of the chunks that make up whole pages. */
static uint64_t whole_pages(uint64_t bits)
{
    for (unsigned step = 1; step < AOMA_PAGE_CHUNKS; step *= 2)
        bits &= bits >> step;
    return pages_of(bits & aligned_positions(AOMA_PAGE_CHUNKS));
}

/*
 * Takes the first range of free pages with chunks that are dirty and may be purged; its bits, or 0. (Not inlined: that
 * would take more stack.)
 */
static AOMA_NOINLINE uint64_t take_purgeable(struct aoma_segment *segment, uint64_t among)
{
    uint64_t taken = aoma_load_acquire(&segment->taken);
    uint64_t range;

    do {
        uint64_t free = aoma_load_acquire(&segment->owned) & ~taken & ~aoma_load_acquire(&segment->pinned);
        uint64_t bits = among & whole_pages(free) & pages_of(free & aoma_load_acquire(&segment->dirty));
        if (!bits)
            return 0;
        unsigned first = aoma_lowest_bit(bits);
        uint64_t above = ~(bits >> first);
        range = aoma_chunk_bits(first, above ? aoma_lowest_bit(above) : AOMA_SEGMENT_CHUNKS);
    } while (!take_bits(segment, &taken, range));
    return range;
}

/*
 * One range at a time: what a thread killed in the middle holds is one range, like a run. While the chunks are held
 * here they serve nobody, so at the very limit of memory another thread may be told ENOMEM in that moment.
 */
size_t aoma_segment_purge(struct aoma_segment *segment)
{
    uint64_t among = ~(uint64_t)0;
    size_t purged = 0;
    uint64_t range;

    while (among && (range = take_purgeable(segment, among)) != 0) {
        /* Now that the range is ours: another thread may have purged it since take_purgeable looked. */
        uint64_t dirty = aoma_load_acquire(&segment->dirty) & range;

        bool done = dirty && aoma_os_purge(chunk_address(segment, range), chunks_bytes(range));

        if (done) {
            aoma_fetch_clear_full(&segment->dirty, dirty);
            aoma_idle_count_dirty(0, chunks_bytes(dirty));
            purged += chunks_bytes(dirty);
        }
        give_bits(segment, range);
        if (dirty) {
            aoma_idle_note_purged(done);
            if (!done)
                break;
        }
        among &= ~(range | (range - 1)); /* upwards only, so the loop ends whatever others do */
    }
    return purged;
}

/* Whether the segment has enough to be worth a system call. */
static bool is_worth_purging(const struct aoma_segment *segment)
{
    uint64_t free = aoma_segment_free_chunks(segment);
    uint64_t dirty = free & aoma_load_acquire(&segment->dirty) & ~aoma_load_acquire(&segment->pinned);

    return aoma_count_bits(dirty) >= AOMA_PURGE_CHUNKS || (dirty && free == aoma_load_acquire(&segment->owned));
}

static bool purging_is_due(void)
{
    return aoma_unlikely(aoma_idle_surplus()) && aoma_source_mmap_enabled() && !aoma_idle_is_locked();
}

/*
 * One that is worth purging and has a higher number, or the segment itself. Chunks are taken from low segments first:
 * what was given there will be asked for again soon, and a program that gives and takes the same memory in turn would
 * have it purged and faulted in each time, while what it does not need stayed.
 */
static struct aoma_segment *highest_worth_purging(struct aoma_segment *segment)
{
    static struct aoma_hint next; /* downwards, then from the top again; threads at once may ask the same ones */
    uint32_t numbers = aoma_segment_numbers();

    for (unsigned i = 0; i < AOMA_PURGE_SEGMENTS; i++) {
        uint32_t number = (uint32_t)aoma_hint_get(&next);

        if (number <= segment->number || number >= numbers)
            number = numbers - 1;
        aoma_hint_set(&next, number - 1);
        struct aoma_segment *other = aoma_segment_by_number(number);
        if (other && is_worth_purging(other))
            return other;
    }
    return segment;
}

void aoma_segment_purge_if_due(struct aoma_segment *segment)
{
    if (purging_is_due() && is_worth_purging(segment))
        (void)aoma_segment_purge(highest_worth_purging(segment));
}

void aoma_segment_purge_others_if_due(void)
{
    static struct aoma_hint next; /* threads that take turns at once may ask the same ones */

    for (unsigned i = 0; i < AOMA_PURGE_SEGMENTS && purging_is_due(); i++) {
        uint32_t number = (uint32_t)aoma_hint_get(&next);
        struct aoma_segment *segment = aoma_segment_by_number(number);

        aoma_hint_set(&next, number + 1 < aoma_segment_numbers() ? number + 1 : 0);
        if (segment && is_worth_purging(segment))
            (void)aoma_segment_purge(segment);
    }
}

/* ---- adding memory ---- */

/*
 * Constant from here on. When several threads install the static heap at once, a slow one may write these again while
 * others read them: the very same values, so the sanitizer need not look.
 */
static AOMA_NO_TSAN void describe(struct aoma_segment *segment, struct aoma_bank *bank, uint32_t number,
                                  uintptr_t window)
{
    segment->base = window;
    segment->bank = bank;
    segment->number = number;
    for (unsigned i = 0; i < AOMA_SEGMENT_CHUNKS; i++) {
        segment->run[i].base = window + ((uintptr_t)i << AOMA_CHUNK_SHIFT);
        segment->run[i].segment = segment;
    }
}

static struct aoma_segment *segment_of_window(uintptr_t window)
{
    return aoma_entry_segment(aoma_page_map_get(window));
}

/* Banks are made in order and stay: where there is the last there are all. */
static bool has_metadata(uint32_t first, uint32_t count)
{
    uint32_t last = first + count - 1;

    return last < AOMA_MAX_SEGMENTS && aoma_index_bank(last >> AOMA_BANK_SHIFT);
}

/*
 * So many numbers of our own, at least 1, which no window has yet, from first on; false if there is no metadata for one
 * of them. All at once: a window keeps its segment, and an own mapping could not begin there, so of a range either all
 * get one or none. A number lost to a race for a window is not used again.
 */
static bool claim_numbers(uint32_t count, uint32_t *first)
{
    size_t taken = aoma_counter_get(&numbers_taken);

    do {
        *first = AOMA_STATIC_SEGMENTS + (uint32_t)taken;
        if (!has_metadata(*first, count))
            return false;
    } while (!aoma_counter_cas(&numbers_taken, &taken, taken + count));
    return true;
}

/* Makes the segment of this number the window's, unless that has one by now. The page map has room for it. */
static void publish_segment(uint32_t number, uintptr_t window)
{
    struct aoma_bank *bank = aoma_index_bank(number >> AOMA_BANK_SHIFT);
    struct aoma_segment *segment = &bank->segment[number % AOMA_BANK_SEGMENTS];

    describe(segment, bank, number, window);
    /* An own mapping may reach into the window; the rest of it is the segment's. */
    while (!segment_of_window(window) && !aoma_page_map_replace(window, 0, (uintptr_t)segment + AOMA_ENTRY_SEGMENT) &&
           !aoma_page_map_replace(window, AOMA_ENTRY_INTERIOR, (uintptr_t)segment + AOMA_ENTRY_SEGMENT))
        ;
}

/* The bits of a window's chunks that lie in [low, high). */
static uint64_t bits_within(uintptr_t window, uintptr_t low, uintptr_t high)
{
    unsigned first = low > window ? (unsigned)((low - window) >> AOMA_CHUNK_SHIFT) : 0;
    size_t end = (high - window) >> AOMA_CHUNK_SHIFT;

    if (end > AOMA_SEGMENT_CHUNKS)
        end = AOMA_SEGMENT_CHUNKS;
    return aoma_chunk_bits(first, (unsigned)end - first);
}

static uintptr_t window_of(uintptr_t address)
{
    return address & ~(uintptr_t)AOMA_SEGMENT_MASK;
}

/* The windows of [low, high), which is not empty. (32 bits of addresses may end with the last.) */
#define AOMA_FOR_WINDOWS(window, low, high)                                                                            \
    for (uintptr_t window = window_of(low), last_window = window_of((high)-1), end_window = 0; !end_window;            \
         end_window = window == last_window, window += AOMA_SEGMENT_BYTES)

static void own(struct aoma_segment *segment, uint64_t bits, bool pinned)
{
    if (pinned) {
        aoma_fetch_or_full(&segment->pinned, bits);
        aoma_fetch_or_full(&segment->dirty, bits);
    }
    uint64_t owned_before = aoma_fetch_or_full(&segment->owned, bits);
    aoma_fence_after_rmw(); /* pairs with give_bits' */
    uint64_t before = owned_before & ~aoma_load_acquire(&segment->taken);
    raise_orders(segment, before, aoma_segment_free_chunks(segment));
}

static uint32_t count_missing_segments(uintptr_t low, uintptr_t high)
{
    uint32_t missing = 0;

    AOMA_FOR_WINDOWS (window, low, high)
        missing += !segment_of_window(window);
    return missing;
}

/* Metadata for all windows. */
static AOMA_NOINLINE bool require_banks(uintptr_t low, uintptr_t high, struct aoma_spare *spare)
{
    uint32_t bank = aoma_segment_numbers() >> AOMA_BANK_SHIFT;
    uint32_t end = aoma_segment_numbers() + count_missing_segments(low, high);

    if (end > AOMA_MAX_SEGMENTS)
        return false;
    for (; bank << AOMA_BANK_SHIFT < end; bank++) {
        if (!aoma_index_require_bank(bank, spare))
            return false;
    }
    return true;
}

/* False: other threads have claimed numbers meanwhile, and those that are left have no metadata yet. */
static AOMA_NOINLINE bool claim_windows(uintptr_t low, uintptr_t high)
{
    uint32_t missing = count_missing_segments(low, high);
    uint32_t number;

    if (missing && !claim_numbers(missing, &number))
        return false;
    AOMA_FOR_WINDOWS (window, low, high) {
        if (!missing || segment_of_window(window))
            continue;
        publish_segment(number++, window);
        missing--;
    }
    return true;
}

/* (Calls side by side, so that the stack of one does not add to that of another.) */
AOMA_INLINE bool require_segments(uintptr_t low, uintptr_t high, struct aoma_spare *spare)
{
    if (!aoma_page_map_reserve(low, high, spare))
        return false;
    do {
        if (!require_banks(low, high, spare))
            return false;
    } while (!claim_windows(low, high));
    return true;
}

static void own_range(uintptr_t low, uintptr_t high, bool pinned)
{
    AOMA_FOR_WINDOWS (window, low, high)
        own(segment_of_window(window), bits_within(window, low, high), pinned);
}

/* Idempotent, see (1): every word written gets the same value from everyone. */
void aoma_segment_install_static(void)
{
    uintptr_t low, high;
    uint32_t number = 0;

    if (aoma_ptr_load_acquire(&static_installed))
        return;
    aoma_source_static_heap(&low, &high);
    aoma_page_map_reserve_home(low, high);
    AOMA_FOR_WINDOWS (window, low, high) {
        if (!segment_of_window(window))
            publish_segment(number, window);
        number++;
    }
    own_range(low, high, false);
    aoma_ptr_store_release(&static_installed, 1);
}

bool aoma_segment_grow(void)
{
    if (!aoma_ptr_load_acquire(&static_installed)) {
        aoma_segment_install_static();
        return true;
    }
    aoma_kept_give_way(AOMA_GROUP_BYTES);
    void *group = aoma_source_map(AOMA_GROUP_BYTES, AOMA_GROUP_BYTES);
    if (!group)
        return false;
    uintptr_t low = (uintptr_t)group;
    if (!require_segments(low, low + AOMA_GROUP_BYTES, NULL)) {
        aoma_source_unmap(group, AOMA_GROUP_BYTES);
        return false;
    }
    own_range(low, low + AOMA_GROUP_BYTES, false);
    return true;
}

/* Whether the own mapping that window belongs to goes on beyond low. */
static bool reaches_into(uintptr_t window, uintptr_t low)
{
    while (aoma_page_map_get(window) == AOMA_ENTRY_INTERIOR)
        window -= AOMA_SEGMENT_BYTES;
    return window + aoma_entry_mapping_bytes(aoma_page_map_get(window)) > low;
}

/* A window of a segment may be the last of an own mapping, too. What bookkeeping was cut from is pinned, not owned. */
bool aoma_segment_overlaps(uintptr_t low, uintptr_t high)
{
    AOMA_FOR_WINDOWS (window, low, high) {
        uintptr_t entry = aoma_page_map_get(window);
        struct aoma_segment *segment = segment_of_window(window);

        if (segment ? window <= low && reaches_into(window - AOMA_SEGMENT_BYTES, low)
                    : entry && reaches_into(window, low))
            return true;
        if (segment && ((aoma_load_acquire(&segment->owned) | aoma_load_acquire(&segment->pinned)) &
                        bits_within(window, low, high)))
            return true;
    }
    return false;
}

/* What require_segments will need: it cuts that from a region while there is no mmap. */
static size_t metadata_needed(uintptr_t low, uintptr_t high)
{
    uint32_t numbers = aoma_segment_numbers();
    uint32_t end = numbers + count_missing_segments(low, high);
    size_t leaf_bytes = aoma_source_metadata_bytes(sizeof(struct aoma_page_map_leaf));
    size_t bytes = aoma_page_map_missing_leaves(low, high) * leaf_bytes;

    for (uint32_t bank = numbers >> AOMA_BANK_SHIFT; bank << AOMA_BANK_SHIFT < end && bank < AOMA_BANKS; bank++) {
        if (!aoma_index_bank(bank))
            bytes += aoma_source_metadata_bytes(sizeof(struct aoma_bank));
    }
    return bytes;
}

/* Bookkeeping that is mapped is never given back, also when the rest of it is refused. */
static bool can_pay(uintptr_t low, uintptr_t high)
{
    size_t bytes = metadata_needed(low, high);

    return !bytes ||
           (aoma_source_mmap_enabled() ? aoma_source_may_take(bytes) : bytes + AOMA_CHUNK_BYTES <= high - low);
}

/* What bookkeeping was cut from: nobody's to take, nor to add once more. */
static void pin_range(uintptr_t low, uintptr_t high)
{
    AOMA_FOR_WINDOWS (window, low, high)
        aoma_fetch_or_full(&segment_of_window(window)->pinned, bits_within(window, low, high));
}

bool aoma_segment_add_region(uintptr_t low, uintptr_t high)
{
    struct aoma_spare spare = {low, low, high};

    if (!aoma_page_map_covers(low, high) || !can_pay(low, high))
        return false;
    bool added = require_segments(low, high, &spare);
    if (added && spare.low > low)
        pin_range(low, spare.low);
    if (added && spare.low < high)
        own_range(spare.low, high, true);
    /* What was cut off and published is in use for ever, even if another thread then took the last that was missing:
     * the region is ours, be it for nothing. */
    return added || spare.low > low;
}
