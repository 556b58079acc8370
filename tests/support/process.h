/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* What the kernel says of this process. No function here allocates. */
#ifndef AOMALLOC_TEST_PROCESS_H
#define AOMALLOC_TEST_PROCESS_H

#include <stddef.h>

/* Bytes of address space, and bytes of it in memory. */
size_t process_mapped_bytes(void);
size_t process_resident_bytes(void);

#endif /* AOMALLOC_TEST_PROCESS_H */
