#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
#
# Builds aomalloc, installs it into .demo/ in the source tree, compiles the crash_report example against the installed
# library as any user would, and crashes real programs with it.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
build=$root/build-demo
prefix=$root/.demo

step() {
    printf '\n== %s\n' "$*"
}

# Runs a command that is to die of a signal and prints what a shell would say about it.
crash() {
    local status=0
    { (ulimit -c 0; exec "$@" 2>&3) || status=$?; } 3>&2 2>/dev/null # the shell's own message is dropped
    if [ $status -le 128 ]; then
        echo "demo.sh: $* did not crash: status $status" >&2
        exit 1
    fi
    echo "died of SIG$(kill -l $((status - 128)))"
}

step "What is needed: tools/install_deps.sh build example"
tools/install_deps.sh build example
unset PKG_CONFIG_LIBDIR LD_PRELOAD
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}

step "Building in build-demo/, installing into .demo/"
options=(--buildtype=release --prefix="$prefix" --libdir=lib
    -Dtests=disabled -Dbench=disabled -Dexamples=disabled -Dman=disabled)
if [ -f "$build/build.ninja" ]; then
    meson setup --reconfigure "$build" "${options[@]}" >"$build/demo.log"
else
    mkdir -p "$build"
    meson setup "$build" "${options[@]}" >"$build/demo.log" || { cat "$build/demo.log"; exit 1; }
fi
meson install -C "$build" >>"$build/demo.log" || { tail -n 40 "$build/demo.log"; exit 1; }
echo "aomalloc $(pkg-config --modversion aomalloc), variant $(pkg-config --variable=variant aomalloc)"

step "Compiling the example with pkg-config"
read -ra flags <<<"$(pkg-config --cflags --libs aomalloc libunwind)"
read -ra libunwind <<<"$(pkg-config --cflags --libs libunwind)"
# shellcheck disable=SC2054 # the commas are for the linker
common=(-D_GNU_SOURCE -O2 -g -shared -fPIC -fvisibility=hidden examples/crash_report/*.c
    -Wl,-z,now,-z,nodelete -Wl,--no-as-needed -lgcc_s)
set -x
cc -o "build-demo/libcrash_report.so" "${common[@]}" -Wl,-rpath,"$prefix/lib" "${flags[@]}"
cc -o "build-demo/libcrash_report_libc.so" "${common[@]}" -DCRASH_REPORT_LIBC "${libunwind[@]}"
cc -o "build-demo/crash_demo" -D_GNU_SOURCE -g -fno-builtin-malloc examples/crash_demo/*.c -pthread
{ set +x; } 2>/dev/null

step "python3 reads through a null pointer in ctypes"
python=$(python3 -c 'import os, sys; print(os.path.realpath(sys.executable))')
rm -f "$build"/*.json
crash env LD_PRELOAD="$build/libcrash_report.so" CRASH_REPORT_FILE="$build/python.json" \
    "$python" -c 'import ctypes; ctypes.string_at(0)'
python3 examples/show_report.py "$build/python.json"

step "A program crashes inside malloc, with malloc's lock held; the handler allocates with aomalloc"
crash env LD_PRELOAD="$build/libcrash_report.so" CRASH_REPORT_FILE="$build/in_malloc.json" \
    "$build/crash_demo" --how in-malloc
python3 examples/show_report.py "$build/in_malloc.json"

step "The same crash; the same handler, built on the C library's malloc"
status=0
{ (exec timeout -s KILL 3 env LD_PRELOAD="$build/libcrash_report_libc.so" \
    CRASH_REPORT_FILE="$build/in_malloc_libc.json" "$build/crash_demo" --how in-malloc) || status=$?; } 2>/dev/null
if [ $status != 137 ] || grep -qs '"complete": true' "$build/in_malloc_libc.json"; then
    echo "demo.sh: expected it to hang, but it ended with status $status" >&2
    exit 1
fi
echo "hung until it was killed after 3 seconds; there is no full report"

step "What this was"
cat <<END
The handler builds its report as linked structures while the crashed thread may hold any lock of the program.
malloc would wait for a lock that is never released; AO_malloc takes none, so the report is complete both times.
The reports are in build-demo/*.json; examples/README.md says how to use the example with other programs.
END
