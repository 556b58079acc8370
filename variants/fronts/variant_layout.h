/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* What lib/segment.h asks. malloc and free read a run's words at most; batches change them. */
#ifndef AOMA_VARIANT_LAYOUT_H
#define AOMA_VARIANT_LAYOUT_H

#define AOMA_VARIANT_WORDS_APART 0

#endif /* AOMA_VARIANT_LAYOUT_H */
