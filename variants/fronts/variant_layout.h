/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* What lib/segment.h and lib/heap.h ask. malloc and free read a run's words at most; batches change them. */
#ifndef AOMA_VARIANT_LAYOUT_H
#define AOMA_VARIANT_LAYOUT_H

#define AOMA_VARIANT_WORDS_APART 0

/* A few blocks that come and go are served by the fronts, which hold more of these than a short run has. */
#define AOMA_VARIANT_FEW_FIRST_BYTES 2048u

#endif /* AOMA_VARIANT_LAYOUT_H */
