/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* What lib/segment.h and lib/heap.h ask. malloc and free change a run's words, by one atomic operation each. */
#ifndef AOMA_VARIANT_LAYOUT_H
#define AOMA_VARIANT_LAYOUT_H

#define AOMA_VARIANT_WORDS_APART 1

/* A few blocks that come and go would have runs made and given back. */
#define AOMA_VARIANT_FEW_FIRST_BYTES 0u

#endif /* AOMA_VARIANT_LAYOUT_H */
