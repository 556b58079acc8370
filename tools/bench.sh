#!/bin/sh
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
#
# The whole benchmark in one command: installs what is missing, builds in release mode, measures, draws.

set -eu

usage()
{
    cat <<EOF
usage: $(basename "$0") OUTPUT_DIR [option of aomalloc-bench]...
       $(basename "$0") --programs OUTPUT_DIR [option of bench_programs.py]...

Writes bench.txt (the tables), bench.csv, bench_time.svg and bench_memory.svg to OUTPUT_DIR. What is missing is
installed with apt-get, if this is a root shell on a system that has it; elsewhere you are told what to install.
Builds in build-bench beside the source, or in \$BENCH_BUILD_DIR.

All options of aomalloc-bench but --csv may follow, for instance: --rounds 15 --workload pair,churn

--programs measures whole programs with each allocator preloaded instead: real ones and the classic benchmarks, and
writes programs.txt, programs.csv and programs.svg. Options of tools/bench_programs.py may follow, for instance
--repeat 3 --select larson,redis --markdown docs/performance.md
EOF
}

fail()
{
    echo "$(basename "$0"): $*" >&2
    exit 1
}

has_library()
{
    # ldconfig is not on every user's path.
    PATH=$PATH:/usr/sbin:/sbin ldconfig -p 2>/dev/null | grep -q "$1"
}

# Debian package names. $needed: without them nothing works; $wanted: without them a column or the plots are left out.
find_missing()
{
    needed='' wanted=''
    command -v cc >/dev/null || needed="$needed gcc libc6-dev"
    command -v meson >/dev/null || needed="$needed meson"
    command -v ninja >/dev/null || needed="$needed ninja-build"
    command -v pkg-config >/dev/null || needed="$needed pkgconf"
    pkg-config --exists atomic_ops 2>/dev/null || needed="$needed libatomic-ops-dev"
    has_library libmimalloc.so || wanted="$wanted libmimalloc2.0"
    has_library libjemalloc.so || wanted="$wanted libjemalloc2"
    has_library libtcmalloc || wanted="$wanted libtcmalloc-minimal4"
    command -v gnuplot >/dev/null || wanted="$wanted gnuplot-nox"
}

install_missing()
{
    find_missing
    [ -n "$needed$wanted" ] || return 0
    if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
        # One by one, as a later Debian may have another version in a package's name.
        apt-get update -q || true
        for package in $needed $wanted; do
            DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "$package" || true
        done
        find_missing
    fi
    [ -z "$needed" ] || fail "please install first (names are Debian's):$needed$wanted"
    [ -z "$wanted" ] || echo "$(basename "$0"): goes on without (names are Debian's):$wanted" >&2
}

programs=
if [ "${1-}" = --programs ]; then
    programs=yes
    shift
fi
case ${1-} in
-h | --help) usage; exit 0 ;;
'' | -*) usage >&2; exit 2 ;;
esac
output=$1
shift
source=$(cd "$(dirname "$0")/.." && pwd)
build=${BENCH_BUILD_DIR-$source/build-bench}

install_missing
[ -z "$programs" ] || "$source/tools/install_deps.sh" programs
mkdir -p "$output"
if [ ! -e "$build/build.ninja" ]; then
    meson setup "$build" "$source" -Dbuildtype=release -Dchecks=release -Dbench=enabled -Dtests=disabled \
        -Dexamples=disabled -Dman=disabled || fail "the build could not be configured"
fi
# Already there, it may have been configured for something else.
meson configure "$build" -Dbuildtype=release -Dchecks=release -Dbench=enabled ${programs:+-Dpreload=enabled}
ninja -C "$build" || fail "the build failed"

if [ -n "$programs" ]; then
    status=0
    "$source/tools/bench_programs.py" --build "$build" --csv "$output/programs.csv" --svg "$output/programs.svg" "$@" \
        >"$output/programs.txt" || status=$?
    cat "$output/programs.txt"
    [ $status = 0 ] || fail "some programs failed, see above"
    echo "Results are in $output."
    exit
fi

# tee would hide the benchmark's exit status.
status=0
"$build/bench/aomalloc-bench" --csv "$output/bench.csv" "$@" >"$output/bench.txt" || status=$?
cat "$output/bench.txt"
if command -v gnuplot >/dev/null && [ -s "$output/bench.csv" ]; then
    "$source/tools/bench_plot.sh" "$output/bench.csv" "$output"
fi
[ $status = 0 ] || fail "some measurements failed, see above"
echo "Results are in $output."
