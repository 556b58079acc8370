/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* Whether there are fronts, and why not. Decided when memory is first looked for after mmap was enabled. */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/auxv.h>

#include "kernel_arch.h"
#include "membarrier.h"
#include "sections.h"

#ifndef AT_RSEQ_FEATURE_SIZE
#define AT_RSEQ_FEATURE_SIZE 27 /* <linux/auxvec.h> of Linux 6.3 */
#endif

struct aoma_rseq_place aoma_rseq_place;

static struct aoma_hint refused; /* 0 -> one of these, which are for good */
enum { REFUSED_BY_KERNEL = 1, REFUSED_BY_MEMBARRIER };

bool aoma_rseq_restart_all(void)
{
    return aoma_membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ);
}

/* mm_cid numbers the CPUs that threads of this process run on, without gaps, so that one thread has one front however
 * often it is moved. */
static ptrdiff_t id_field(void)
{
    int *error = &errno;
    int saved = *error;
    unsigned long size = getauxval(AT_RSEQ_FEATURE_SIZE); /* 0, with an errno, before Linux 6.3 */

    *error = saved;
    return AOMA_INJECT_FEATURE_SIZE(size) >= AOMA_RSEQ_MM_CID_END ? AOMA_RSEQ_MM_CID : AOMA_RSEQ_CPU_ID;
}

static const char *reason_against(void)
{
    if (!aoma_sections_exist())
        return "cas: no restartable sequences for this processor";
    if (!aoma_source_mmap_enabled())
        return "cas: mmap is not enabled";
    if (!aoma_rseq_is_registered() || __rseq_flags != 0)
        return "cas: the C library has not registered restartable sequences";
    switch (aoma_hint_get(&refused)) {
    case REFUSED_BY_KERNEL:
        return "cas: the kernel is not known to restart sequences at every preemption (Linux 6.19 and 7.0 do not)";
    case REFUSED_BY_MEMBARRIER:
        return "cas: membarrier cannot restart sequences";
    default:
        return NULL;
    }
}

static bool refuse(size_t by)
{
    aoma_hint_set(&refused, by);
    return false;
}

bool aoma_fronts_turn_on(void)
{
    if (aoma_rseq_id())
        return true;
    if (reason_against())
        return false;
    if (!aoma_kernel_is_trusted())
        return refuse(REFUSED_BY_KERNEL);
    if (!aoma_membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ))
        return refuse(REFUSED_BY_MEMBARRIER);
    aoma_ptr_store_relaxed(&aoma_rseq_place.area, (uintptr_t)__rseq_offset);
    aoma_ptr_store_release(&aoma_rseq_place.id, (uintptr_t)(__rseq_offset + id_field()));
    return true;
}

const char *aoma_fronts_mode(void)
{
    return aoma_fronts_turn_on() ? "rseq" : reason_against();
}
