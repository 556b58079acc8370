#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat <<'END'
usage: tools/test_cross.sh [PROCESSOR] [--help]

Cross-compiles every variant for PROCESSOR (aarch64, armhf, ppc64le, riscv64, s390x; aarch64 if none is named) and runs
the suite under qemu-user. That knows no restartable sequences, so percpu works on its heaps;
tools/test_aarch64_vm.sh has them. PROCESSOR musl is this one with the other C library, whose programs run as they are.
The last line is "N passed, N failed, N skipped"; the exit status is 0 only when nothing failed.
END
}

# What cannot run so:
#   install               its programs are linked without the cross file.
#   run, programs         they start programs of this machine.
# and under qemu-user:
#   unit_index, unit_mapping, unit_segment, unit_source   take pages of 4 KiB for granted.
#   frozen, single_step   qemu-user has no ptrace.
#   no_syscall, mode      qemu-user has no seccomp, and does not start itself again for /proc/self/exe.
# The last two skip themselves where tests are said to be instrumented. What else a machine lacks, tests find out.
processor=aarch64
case ${1-} in
--help)
    usage
    exit
    ;;
?*) processor=$1 ;;
esac
if [ ! -f "tools/cross/$processor.ini" ]; then
    usage >&2
    exit 2
fi

tools/install_deps.sh build test "cross-$processor"
# shellcheck source-path=SCRIPTDIR source=suite.sh
. tools/suite.sh

build=build-cross-$processor
options=(--cross-file "tools/cross/$processor.ini" --werror -Dtests=enabled -Dbench=disabled -Dexamples=disabled)
everywhere=(-t 10 --no-suite install --no-suite run --no-suite programs --no-suite model)

# For machines of which there are no packages.
prepare() {
    case $processor in
    musl) tools/cross/prefix.sh "$build-prefix" musl-gcc ;;
    riscv64) tools/cross/prefix.sh "$build-prefix" riscv64-linux-gnu-gcc ;;
    esac
}

list_unit_tests() {
    meson test -C "$build" --no-rebuild --suite unit --list 2>/dev/null | grep -o 'unit_[a-z_]*' |
        grep -Ev '^unit_(index|mapping|segment|source)$' | sort -u
}

run_tests() {
    local unit_tests
    if [ "$processor" = musl ]; then
        suite_test "$processor: test" "$build" "${everywhere[@]}"
        return
    fi
    export AOMALLOC_TEST_INSTRUMENTED=1
    suite_test "$processor: test" "$build" "${everywhere[@]}" --no-suite unit
    mapfile -t unit_tests < <(list_unit_tests)
    if [ ${#unit_tests[@]} -eq 0 ]; then # without names, meson would run everything
        suite_failed=$((suite_failed + 1))
        suite_failures+=("$processor: meson lists no unit tests")
        return
    fi
    suite_test "$processor: unit tests" "$build" -t 10 "${unit_tests[@]}"
}

case $processor in
musl) # which looks for headers in its own folder only
    options+=("-Dpkg_config_path=$PWD/$build-prefix/lib/pkgconfig" "-Dc_args=-isystem $PWD/$build-prefix/system")
    ;;
riscv64) options+=("-Dpkg_config_path=$PWD/$build-prefix/lib/pkgconfig") ;;
esac
if suite_step "$processor: what there are no packages of" prepare &&
    suite_step "$processor: build" suite_build "$build" "${options[@]}"; then
    run_tests
fi

suite_list_failures
echo "$suite_passed passed, $suite_failed failed, $suite_skipped skipped"
[ "$suite_failed" -eq 0 ]
