#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat <<'EOF'
usage: tools/test_programs.sh [--short] [--soak SECONDS [--output DIR]] [--help] [PROGRAM...]

Puts aomalloc under real programs: gcc git nginx perl python redis sqlite xz, all by default. Installs what is missing,
builds in build-programs in release mode, runs each program as it is and then under each variant, and compares what it
gives, byte by byte. Prints what each run took; that is judged by nobody. The last line is
"N passed, N failed, N skipped"; the exit status is 0 only when nothing failed.

  --short         small amounts of work, as in the test suite "programs"
  --soak SECONDS  instead of that a long mixed run of nginx, python and redis, all at once, whose resident memory is
                  sampled and must not drift; 600 is a good choice, 120 the least that tells something
  --output DIR    where that writes soak.csv and soak.svg; default: build-programs
  --help          this text
EOF
}

size=full seconds='' programs=()
build='build-programs'
output=$build
while [ $# -gt 0 ]; do
    case $1 in
    --short) size=short ;;
    --soak | --output)
        [ $# -gt 1 ] || { usage >&2; exit 2; }
        if [ "$1" = --soak ]; then seconds=$2; else output=$2; fi
        shift
        ;;
    --help)
        usage
        exit
        ;;
    -*)
        usage >&2
        exit 2
        ;;
    *) programs+=("$1") ;;
    esac
    shift
done

tools/install_deps.sh build programs
if [ ! -f "$build/build.ninja" ]; then
    meson setup "$build" -Dbuildtype=release -Dpreload=enabled -Dtests=disabled -Dbench=disabled -Dexamples=disabled \
        >/dev/null
fi
ninja -C "$build" >"$build/build.log" || {
    cat "$build/build.log"
    exit 1
}

mapfile -t variants < <(basename -a -s .so "$build"/preload/libaomalloc-preload-*.so | sed "s/^libaomalloc-preload-//")
common=(--command "$build/preload/aomalloc-run" --variants "${variants[@]}")
if [ ${#programs[@]} -gt 0 ]; then
    common+=(--program "${programs[@]}")
fi
if [ -n "$seconds" ]; then
    exec python3 -B tests/programs/soak.py "${common[@]}" --seconds "$seconds" --output "$output"
fi
exec python3 -B tests/programs/test_programs.py "${common[@]}" --source . --size "$size"
