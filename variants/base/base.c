/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

#include "variant.h"

struct aoma_heap aoma_base_heap;
