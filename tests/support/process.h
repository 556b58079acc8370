/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* What the kernel says of this process, and what it grants. No function here allocates. */
#ifndef AOMALLOC_TEST_PROCESS_H
#define AOMALLOC_TEST_PROCESS_H

#include <stddef.h>

/* Bytes of address space, and bytes of it in memory. */
size_t process_mapped_bytes(void);
size_t process_resident_bytes(void);

/* From now on this system call is answered with ENOSYS. Ends the test as skipped where that cannot be had. */
void refuse_system_call(unsigned number);

/* Ends the test as skipped where mremap() takes away what follows the memory that it shortens: qemu-user's (7.2) does
 * for 32-bit guests. */
void require_shortening_mremap(void);

#endif /* AOMALLOC_TEST_PROCESS_H */
