/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

#include "size_class.h"

/* A 1 KiB table was faster than finding the class from the highest bit. */
const uint8_t aoma_class_lookup[] = {AOMA_CLASS_LOOKUP_LIST};

#define AOMA_CLASS(bytes, chunks, roomy) bytes,
const uint32_t aoma_class_bytes_table[] = {AOMA_CLASS_LIST};
#undef AOMA_CLASS

#define AOMA_CLASS(bytes, chunks, roomy) chunks,
const uint8_t aoma_class_chunks_table[] = {AOMA_CLASS_LIST};
#undef AOMA_CLASS

#define AOMA_CLASS(bytes, chunks, roomy) roomy,
const uint8_t aoma_class_roomy_chunks_table[] = {AOMA_CLASS_LIST};
#undef AOMA_CLASS

#define AOMA_CLASS(bytes, chunks, roomy)                                                                               \
    _Static_assert((roomy) >= (chunks) && (roomy)*AOMA_CHUNK_BYTES / (bytes) <= 512, "a roomy run has at most 8 "      \
                                                                                     "words");
AOMA_CLASS_LIST
#undef AOMA_CLASS
