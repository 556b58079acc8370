#!/bin/sh
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
#
# Options that make no sense stop the configuration with a sentence; those at the edge do not.
set -eu
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

configure() {
    rm -rf "$work/build"
    meson setup "$work/build" "$source_dir" -Dtests=disabled -Dbench=disabled -Dexamples=disabled "$@" >"$work/log" 2>&1
}

refuse() {
    sentence=$1
    shift
    ! configure "$@" || fail "$* was accepted"
    grep -q "ERROR: .*$sentence" "$work/log" || {
        cat "$work/log" >&2
        fail "$*: no sentence with \"$sentence\""
    }
}

accept() {
    configure "$@" || {
        cat "$work/log" >&2
        fail "$* was refused"
    }
}

refuse 'initial_heap_kib=0: ' -Dinitial_heap_kib=0
refuse 'initial_heap_kib=12: ' -Dinitial_heap_kib=12
refuse 'initial_heap_kib=100: must be a multiple of 8' -Dinitial_heap_kib=100
refuse '[Vv]alue .*nonsense' -Dvariant=nonsense
refuse '[Vv]alue .*nonsense' -Dchecks=nonsense

accept -Dinitial_heap_kib=64
quietly ninja -C "$work/build"
accept -Dinitial_heap_kib=65536 -Dchecks=expensive
quietly ninja -C "$work/build"
