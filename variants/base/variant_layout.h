/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* What lib/segment.h asks. malloc and free change a run's words, by one atomic operation each. */
#ifndef AOMA_VARIANT_LAYOUT_H
#define AOMA_VARIANT_LAYOUT_H

#define AOMA_VARIANT_WORDS_APART 1

#endif /* AOMA_VARIANT_LAYOUT_H */
