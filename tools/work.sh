#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat <<'END'
usage: tools/work.sh [--calls N] [--output DIR] [--help]

Bounded work: instructions of each call of a churn in four threads, per variant and kind of call, in a build whose basic
blocks are counted. Prints quantiles, the most, and which functions took most of that call. Writes to DIR: work.csv, a
histogram; longest.csv, the longest call of each kind by functions; and with gnuplot work.svg.
Builds in build-work, or in $WORK_BUILD_DIR. The exit status is not 0 if something could not be built or run.

  --calls N     calls of each variant (default: 1e9; 1e8 if AOMALLOC_TEST_BOUNDARIES is not all)
  --output DIR  default: the build directory
END
}

build=${WORK_BUILD_DIR-build-work}
calls=100000000 output=''
[ "${AOMALLOC_TEST_BOUNDARIES-all}" != all ] || calls=1000000000
while [ $# -gt 0 ]; do
    case $1 in
    --calls) calls=${2-}; shift ;;
    --output) output=${2-}; shift ;;
    --help) usage; exit ;;
    *) usage >&2; exit 2 ;;
    esac
    shift
done
[ "$calls" -gt 0 ] || { usage >&2; exit 2; }

# One compiler is enough to count with; bounded_work/weights.py has been tried with this one.
export CC=gcc CXX=g++
if [ ! -f "$build/build.ninja" ]; then
    # What meson links to try the compiler needs the function, too.
    mkdir -p "$build"
    echo 'void __sanitizer_cov_trace_pc(void); void __sanitizer_cov_trace_pc(void) {}' |
        $CC -fPIC -c -x c - -o "$build/no_trace.o"
    meson setup "$build" -Dbuildtype=release -Dtests=disabled -Dbench=disabled -Dexamples=disabled -Dman=disabled \
        -Dc_args=-fsanitize-coverage=trace-pc "-Dc_link_args=$(realpath "$build")/no_trace.o" >&2
fi
output=${output:-$build}
csv=$output/work.csv
longest=$output/longest.csv
wraps=$(printf -- '-Wl,--wrap=%s ' mmap munmap madvise mremap syscall)
mkdir -p "$output"
echo variant,call,system_call,instructions,calls >"$csv"
echo variant,call,system_call,mmap_enabled,function,entered,instructions >"$longest"
libraries=$(ninja -C "$build" -t targets all | sed -n 's|^\(variants/libaomalloc[a-z-]*\.a\):.*|\1|p')
[ -n "$libraries" ] || { echo "work.sh: $build has no variants/libaomalloc*.a" >&2; exit 1; }
for library in $libraries; do
    program=$build/$(basename "$library" .a)-work
    ninja -C "$build" "$library" >&2
    # shellcheck disable=SC2086 # several options
    $CC -std=gnu11 -O2 -Wall -Wextra -no-pie -pthread -I"$build/include" -Iinclude -Itests/support $wraps \
        tools/bounded_work/work.c "$build/$library" -o "$program"
    python3 tools/bounded_work/weights.py "$program" >"$program.weights"
    "$program" "$program.weights" "$calls" "$csv" "$longest"
done
if command -v gnuplot >/dev/null; then
    gnuplot -e "csv='$csv'; svg='$output/work.svg'" tools/bounded_work/work.gnuplot
else
    echo "work.sh: gnuplot is missing, no SVG" >&2
fi
