#!/bin/sh
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
#
# The worker of percpu, without restartable sequences: the C library does not register any.
exec env GLIBC_TUNABLES=glibc.pthread.rseq=0 "$(dirname "$0")/bench-worker-percpu" "$@"
