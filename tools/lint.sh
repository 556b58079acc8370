#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
#
# Linters, with the configuration in .clang-tidy and tools/cppcheck.suppressions: cppcheck and clang-tidy on all C code,
# mandoc on the manual pages, ShellCheck on the scripts. Any finding is a failure.
# lint.sh [BUILD_DIR]: a configured one, for its compile_commands.json; without it build-lint is configured.
set -euo pipefail
cd "$(dirname "$0")/.."
tools/install_deps.sh build test example lint

build=${1-}
if [ -z "$build" ]; then
    build="build-lint"
    [ -f "$build/build.ninja" ] || CC=clang CXX=clang++ meson setup "$build" \
        -Dtests=enabled -Dexamples=enabled -Dbench=enabled >/dev/null
fi

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

# System headers are not read, so what they define and the sources ask for is given here.
cppcheck_on() {
    cppcheck --quiet --error-exitcode=1 --std=c11 --platform=unix64 --enable=warning,performance,portability \
        --suppress=missingIncludeSystem --suppressions-list=tools/cppcheck.suppressions -j "$(nproc)" \
        -D__GNUC__ -D__linux__ -D__x86_64__ -DUINTPTR_MAX=0xffffffffffffffffu -DAO_HAVE_compare_and_swap_full \
        -I"$build/include" -Iinclude "$@"
}

run_cppcheck() {
    local checks variant status=0
    for variant in variants/*/; do
        for checks in 0 2; do
            cppcheck_on -DAOMA_INITIAL_HEAP_KIB=2048 -DAOMA_CHECKS="$checks" -Ilib -I"$variant" lib "$variant" \
                preload/*.c || status=1
        done
    done
    cppcheck_on -D_GNU_SOURCE -DRUN_VERSION='""' -DRUN_VARIANT='""' -DRUN_VARIANTS='""' -DRUN_BINDIR='"bin"' \
        -DRUN_LIBDIR='"lib"' -DRUN_PLANNED_LIBDIR='"/lib"' preload/run || status=1
    cppcheck_on -D_GNU_SOURCE -DTEST_HEAP_KIB=2048 -DTEST_CHECKS=0 -DTEST_VARIANT='"base"' -DTEST_VERSION='"0.1.0"' \
        -Itests/support -Ibench -Ibench/worker -Ibench/binding tests bench examples || status=1
    return "$status"
}

# Every source that the build compiles (that of another processor is not among them), in a compile_commands.json of its
# own: clang-tidy would go over a source as often as it is compiled. The library's are looked at once per variant.
list_for_clang_tidy() {
    python3 - "$build" "$1" <<'END'
import json, os, re, sys

with open(os.path.join(sys.argv[1], 'compile_commands.json'), encoding='utf-8') as commands:
    entries = json.load(commands)
chosen = {}
for entry in entries:
    path = os.path.relpath(os.path.join(entry['directory'], entry['file']))
    variant = re.search(r' -I\S*variants/(\w+)', entry['command'])
    if path.endswith('.c'):
        chosen.setdefault((path, path.startswith('lib/') and variant and variant[1]), entry)
with open(os.path.join(sys.argv[2], 'compile_commands.json'), 'w', encoding='utf-8') as commands:
    json.dump(list(chosen.values()), commands)
print('\n'.join(sorted({path for path, _ in chosen})))
END
}

# One source at a time: of two, the analyzer takes a va_list in the second for one that nobody has started.
run_clang_tidy() {
    local commands status=0
    commands=$(mktemp -d)
    list_for_clang_tidy "$commands" |
        xargs -P "$(nproc)" -n 1 clang-tidy --quiet -p "$commands" --warnings-as-errors='*' \
            2> >(grep -Ev '^[0-9]+ warnings?( and [0-9]+ errors?)? generated' >&2) || status=1
    rm -rf "$commands"
    return "$status"
}

run_mandoc() {
    # STYLE messages are opinions about other people's macros; warnings and errors are not.
    mandoc -T lint -W warning "$@"
}

mapfile -t pages < <(git ls-files 'man/*.[1-9]')
mapfile -t scripts < <(git ls-files '*.sh' '*.bash.in' .ci/run)

run cppcheck run_cppcheck
run clang-tidy run_clang_tidy
run mandoc run_mandoc "${pages[@]}"
run ShellCheck shellcheck -x "${scripts[@]}"
[ "$failures" -eq 0 ]
