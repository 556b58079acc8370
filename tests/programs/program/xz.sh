#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
#
# xz: compresses in two threads and decompresses.
# shellcheck source-path=SCRIPTDIR source=../common.sh
. "$(dirname "$0")/../common.sh"
need xz
under xz

awk -v lines="$(size 60000 3000000 150000)" 'BEGIN {
    for (x = i = 1; i <= lines; i++) {
        x = (x * 16807) % 2147483647
        printf "%d %x %d\n", i, x, x % 100
    }
}' >plain
run xz -T2 "--block-size=$(size 256KiB 4MiB 512KiB)" "-$(size 1 6 2)" --stdout plain >packed
sha256sum packed >result/packed
run xz -T2 --decompress --stdout packed | cmp - plain
run xz --list --robot packed >result/list
