# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
#
# To be sourced: a temporary directory that is removed at the end, and how to say what went wrong.
# shellcheck shell=sh

# shellcheck disable=SC2034 # used by who sources this
source_dir=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# What the build that runs this was configured with must not leak into the one made here.
unset CFLAGS CXXFLAGS CPPFLAGS LDFLAGS DESTDIR MESON_BUILD_ROOT MESON_SOURCE_ROOT

fail() {
    echo "FAIL: $*" >&2
    exit 1
}

# Runs a command quietly; shows what it said only when it fails.
quietly() {
    "$@" >"$work/log" 2>&1 || {
        cat "$work/log" >&2
        fail "$*"
    }
}
