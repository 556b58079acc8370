#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
#
# cppcheck and clang-tidy on the library, its variants, the tests and the examples; mandoc on the man pages,
# shellcheck where it is installed. Any finding is a failure.
# lint.sh [BUILD_DIR]: a configured one, for its compile_commands.json.
set -euo pipefail
cd "$(dirname "$0")/.."

build=${1-}
if [ -z "$build" ]; then
    build="build-lint"
    [ -f "$build/build.ninja" ] || CC=clang CXX=clang++ meson setup "$build" >/dev/null
fi
# Generated headers must be there.
ninja -C "$build" >/dev/null

failures=0
run() {
    local name=$1
    shift
    echo "--- $name"
    if ! "$@"; then
        failures=$((failures + 1))
        echo "lint: $name failed"
    fi
}

run_cppcheck() {
    cppcheck --quiet --error-exitcode=1 --inline-suppr --std=c11 --enable=warning,performance,portability \
        --suppress=missingIncludeSystem --suppress=unknownMacro -j "$(nproc)" \
        -DAOMA_INITIAL_HEAP_KIB=2048 -DAOMA_CHECKS=0 -D__x86_64__ -D__GNUC__ -D__linux__ \
        -Ilib -Iinclude -I"$build/include" lib variants
}

run_clang_tidy() {
    local sources
    mapfile -t sources < <(git ls-files 'lib/*.c' 'variants/**.c' 'tests/**.c' 'examples/**.c' | grep -v check_atomics)
    # Only what the build compiles; a variant of another processor is not among them.
    python3 - "$build" "${sources[@]}" <<'EOF' |
import json, os, sys

with open(os.path.join(sys.argv[1], 'compile_commands.json'), encoding='utf-8') as commands:
    compiled = {os.path.realpath(os.path.join(entry['directory'], entry['file'])) for entry in json.load(commands)}
print('\n'.join(source for source in sys.argv[2:] if os.path.realpath(source) in compiled))
EOF
        xargs -P "$(nproc)" -n 4 clang-tidy --quiet -p "$build" --warnings-as-errors='*' 2>/dev/null
}

run_mandoc() {
    # STYLE messages are opinions about other people's macros; warnings and errors are not.
    mandoc -T lint -W warning "$@"
}

run cppcheck run_cppcheck
run clang-tidy run_clang_tidy
mapfile -t pages < <(git ls-files 'man/*.[1-9]' )
if [ "${#pages[@]}" -gt 0 ]; then
    run mandoc run_mandoc "${pages[@]}"
fi
if command -v shellcheck >/dev/null; then
    mapfile -t scripts < <(git ls-files '*.sh' .ci/run)
    run shellcheck shellcheck -x "${scripts[@]}"
fi
[ "$failures" -eq 0 ]
