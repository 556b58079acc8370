#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
#
# tools/cross/prefix.sh DIR COMPILER
# What the distribution does not have for a machine's tests, made in DIR: cmocka, from Debian's source package; and for
# musl's compiler, which looks into no folder of the host's, the headers of libatomic_ops and of the kernel.
# DIR/lib/pkgconfig is for meson, DIR/system for the compiler. What is there already stays.
set -euo pipefail
[ $# -eq 2 ] || { echo 'usage: tools/cross/prefix.sh DIR COMPILER' >&2; exit 2; }
mkdir -p "$1"
prefix=$(realpath "$1")
compiler=$2
work=$prefix/source

# The place of the source package, beside that of the binary one; the system's own lists of packages stay as they are.
fetch_source() { # PACKAGE
    local options=(-q -o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=/dev/null
        -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=)
    mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
    apt-cache madison "lib${1}0" | awk '$0 ~ / Packages$/ { print $5, $6 }' | sort -u |
        while read -r place suite; do
            echo "deb-src $place ${suite%/*} ${suite#*/}"
        done >"$work/sources.list"
    apt-get "${options[@]}" update
    (cd "$work" && apt-get "${options[@]}" source "$1")
}

build_cmocka() {
    rm -rf "$work"
    mkdir -p "$work"
    fetch_source cmocka
    cmake -S "$work"/cmocka-*/ -B "$work/build" -Wno-dev -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_C_COMPILER="$compiler" \
        -DCMAKE_INSTALL_PREFIX="$prefix" -DCMAKE_INSTALL_LIBDIR=lib -DCMAKE_BUILD_TYPE=Release -DWITH_EXAMPLES=OFF
    cmake --build "$work/build"
    cmake --install "$work/build"
    rm -rf "$work"
}

link_headers() {
    local header multiarch
    multiarch=$(gcc -print-multiarch)
    mkdir -p "$prefix/system"
    for header in /usr/include/{atomic_ops.h,atomic_ops,linux,asm-generic} "/usr/include/$multiarch/asm"; do
        ln -sfn "$header" "$prefix/system/${header##*/}"
    done
}

[ -f "$prefix/lib/pkgconfig/cmocka.pc" ] || build_cmocka
case $compiler in
*musl*) link_headers ;;
esac
