/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Fronts: per owner (owner.h: a CPU or a thread) and class a stack of free blocks, which the owner pushes and pops
 * without any atomic instruction. Whole batches go in and out by way of the transfer places (transfer.h).
 *
 * A block in a front has its run's bit clear, like one in use: to the run it is in somebody's hands.
 *
 *     front   stack[0] top bottom end | stack[1] ... | slots of class 0 | slots of class 1 | ...
 *                      |    |     +--- pushes stop here: a slot of its own, or the one after them
 *                      |    +--------- first slot
 *                      +-------------- first free slot: its store commits what the owner does
 *
 * Positions count pointers from the front's start. bottom <= top, and bottom < end where there are slots; top
 * may be above end, which is low after an emptying and rises with refills. All fronts are alike; they are mapped
 * when an owner needs its first, and never unmapped. They exist only where mmap is enabled and the variant has what it
 * needs, among that a command of membarrier, so that the front of any owner can be emptied.
 */
#ifndef AOMA_FRONTS_FRONT_H
#define AOMA_FRONTS_FRONT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "atomics.h"
#include "numbers.h"
#include "run.h"

/*
 * What one owner may hold of a class: so many bytes; nothing of the largest classes. Of all classes together:
 * AOMA_FRONT_BYTES_MAX.
 */
#define AOMA_FRONT_SMALL_BYTES 128u
#define AOMA_FRONT_SMALL_CLASS_BYTES (64 * AOMA_KIB)
#define AOMA_FRONT_CLASS_BYTES (32 * AOMA_KIB)
#define AOMA_FRONT_BLOCK_BYTES_MAX (8 * AOMA_KIB)
#define AOMA_FRONT_SHARE(bytes)                                                                                        \
    (((bytes) <= AOMA_FRONT_SMALL_BYTES ? AOMA_FRONT_SMALL_CLASS_BYTES : AOMA_FRONT_CLASS_BYTES) / (bytes))
#define AOMA_FRONT_CAP(bytes) ((bytes) > AOMA_FRONT_BLOCK_BYTES_MAX ? 0 : (unsigned)AOMA_FRONT_SHARE(bytes))

/* Blocks that move at once; fewer where half of the cap is fewer. */
#define AOMA_FRONT_BATCH_MAX 64u

/*
 * top has 32 bits, although a position needs 16: processors may hand a stored word of 32 or 64 bits to the next load of
 * it sooner than a narrower one (Zen 3: 0.4 ns and 2.5 ns), and each pop and push loads what the last one stored.
 */
struct aoma_front_stack {
    volatile uint32_t top;
    uint16_t bottom;
    volatile uint16_t end;
};

/*
 * Stacks: by class; one of AOMA_CLASS_LARGE, which has no slot; and for each class whose blocks lie several to a cache
 * line, one for the foreign ones: what was freed here and belongs to a run that another owner takes blocks from. They
 * are never popped singly but go back to their runs a batch at a time, so that the line does not come to be shared.
 */
#define AOMA_FRONT_SHARING_CLASSES (64u / AOMA_UNIT_BYTES - 1) /* of 16, 32 and 48 bytes */
#define AOMA_FRONT_FOREIGN (AOMA_CLASSES + 1)
#define AOMA_FRONT_STACKS (AOMA_FRONT_FOREIGN + AOMA_FRONT_SHARING_CLASSES)

struct aoma_front {
    struct aoma_front_stack stack[AOMA_FRONT_STACKS];
    struct aoma_hint touched; /* not 0: pages of its slots may have been written to; for who has detached it */
    void *below;              /* the first slot; never a block: what a pop reads ahead is not what others write */
};

#define AOMA_FRONT_FIRST_SLOT (sizeof(struct aoma_front) / sizeof(void *))

#define AOMA_FRONT_FOREIGN_BLOCKS(bytes)                                                                               \
    ((bytes) / AOMA_UNIT_BYTES <= AOMA_FRONT_SHARING_CLASSES ? AOMA_FRONT_BATCH_MAX : 0)
#define AOMA_CLASS(bytes, chunks, roomy) +AOMA_FRONT_CAP(bytes) + AOMA_FRONT_FOREIGN_BLOCKS(bytes)
enum { AOMA_FRONT_SLOTS = 0 AOMA_CLASS_LIST };
#undef AOMA_CLASS
#define AOMA_CLASS(bytes, chunks, roomy) +(AOMA_FRONT_CAP(bytes) + AOMA_FRONT_FOREIGN_BLOCKS(bytes)) * (bytes)
enum { AOMA_FRONT_BYTES_MAX = 0 AOMA_CLASS_LIST };
#undef AOMA_CLASS

_Static_assert(sizeof(struct aoma_front_stack) % sizeof(void *) == 0, "a stack's words fill slots");
_Static_assert(AOMA_FRONT_FIRST_SLOT + AOMA_FRONT_SLOTS <= UINT16_MAX, "positions fit their fields");
_Static_assert(AOMA_FRONT_BYTES_MAX <= 2 * AOMA_MIB, "what one owner may hold, as documented");
_Static_assert(AOMA_FRONT_CAP(AOMA_VARIANT_FEW_FIRST_BYTES) >= 16, "fronts hold more than a short run");

AOMA_INLINE unsigned aoma_front_cap(unsigned class)
{
    size_t bytes = class < AOMA_CLASSES ? aoma_class_bytes(class) : SIZE_MAX;

    return AOMA_FRONT_CAP(bytes);
}

AOMA_INLINE unsigned aoma_front_batch(unsigned class)
{
    unsigned half = aoma_front_cap(class) / 2;

    return half < AOMA_FRONT_BATCH_MAX ? half : AOMA_FRONT_BATCH_MAX;
}

AOMA_INLINE unsigned aoma_front_class(unsigned stack)
{
    return stack < AOMA_FRONT_FOREIGN ? stack : stack - AOMA_FRONT_FOREIGN;
}

AOMA_INLINE unsigned aoma_front_slots(unsigned stack)
{
    return stack < AOMA_FRONT_FOREIGN ? aoma_front_cap(stack) : AOMA_FRONT_BATCH_MAX;
}

/* Blocks in a stack. */
AOMA_INLINE unsigned aoma_front_held(const struct aoma_front *front, unsigned stack)
{
    return (unsigned)(front->stack[stack].top - front->stack[stack].bottom);
}

/* What a front holds of a class at first after it was emptied. */
AOMA_INLINE unsigned aoma_front_low_cap(unsigned class)
{
    unsigned low = aoma_front_batch(class) / 8;

    return low || !aoma_front_cap(class) ? low : 1;
}

/*
 * The mark of a cached block: in its second word, from when it is pushed, or taken in a batch from its run, until it is
 * popped. A block that is given back and has it was likely given back before, or never handed out. It is the block's
 * address less one, which programs hardly store there themselves. At check level none there are no marks.
 */
AOMA_INLINE uintptr_t *aoma_front_mark_of(void *block)
{
    return (uintptr_t *)block + 1;
}

AOMA_INLINE bool aoma_front_is_marked(void *block)
{
    return AOMA_CHECKS_FREES && *aoma_front_mark_of(block) == (uintptr_t)block - 1;
}

AOMA_INLINE void aoma_front_mark(void *block)
{
    if (AOMA_CHECKS_FREES)
        *aoma_front_mark_of(block) = (uintptr_t)block - 1;
}

AOMA_INLINE void aoma_front_clear_mark(void *block)
{
    if (AOMA_CHECKS_FREES)
        *aoma_front_mark_of(block) = 0;
}

/* Turns fronts on if they can be and mmap is enabled; whether they are. The variant's, as are the next two. */
bool aoma_fronts_turn_on(void);
/* What AO_malloc_mode answers: "cas" with the reason where there are no fronts. */
const char *aoma_fronts_mode(void);

/* Whether the caller has a front, of which it has come to need this stack; gets one if need be and if there is memory
 * for it. */
bool aoma_front_require(unsigned stack);

/* The front that was made for this number, or NULL. */
struct aoma_front *aoma_front_made(unsigned number);
/* Makes it; NULL: there is no memory, or somebody else was faster. The caller has to attach it. */
struct aoma_front *aoma_front_make(unsigned number);

/* When pop had nothing: a block of class. NULL: the heap has to look for one. */
void *aoma_front_refill(unsigned class);

/* When push did not take it: takes the block, which is marked. */
void aoma_front_overflow(struct aoma_run *run, unsigned index, void *block, const char *function);

/* Takes what is of no class, or possibly free already: then it aborts if it is. Past the front, since it is rare. */
void aoma_front_free_suspect(struct aoma_run *run, unsigned index, void *block, const char *function);

/* Empties a front that the caller has detached; its owner's stacks that are not quiet stay as they are. */
void aoma_front_empty(struct aoma_front *front);

/* Whether a front or a transfer place has the block of class. Never wrong when it says so. */
bool aoma_front_has(unsigned class, const void *block);

/*
 * Empties the fronts of all owners and the transfer places into the runs; whether they held anything. A front that was
 * empty already, and not when this was called last, is idle: the pages of its slots go back.
 */
bool aoma_fronts_drain(void);

/* The same, and the pages of all fronts that stay empty meanwhile. */
bool aoma_fronts_give_all_back(void);

/*
 * The same when the heap has grown by 1/32 since the last time. A block that is cached keeps its run from being empty:
 * when a program changes to other sizes, what lies in the fronts is memory of many runs that the new sizes cannot have.
 */
#define AOMA_FRONT_GROWTH_SHIFT 5
void aoma_fronts_drain_if_grown(void);

/* Blocks held by fronts and transfer places; exact while no other thread is inside the library. */
size_t aoma_fronts_count(void);

#endif /* AOMA_FRONTS_FRONT_H */
