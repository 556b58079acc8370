#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat <<'EOF'
usage: tools/test.sh [--long] [--gcc-only] [--werror] [--help]

Installs what is missing, builds every variant with gcc and with clang, and runs the test suite on all of them.
The last line is "N passed, N failed, N skipped"; the exit status is 0 only when nothing failed.

  --long      full counts instead of the short ones (AOMALLOC_TEST_LONG=1): minutes instead of seconds in some tests;
              also models, and with clang what steps through calls. So does .ci/run, with short counts
  --gcc-only  leave out clang
  --werror    warnings are errors; benchmark and examples must be built, too
  --help      this text

From the environment: AOMALLOC_TEST_SEED, AOMALLOC_TEST_SECONDS (of each stress test), AOMALLOC_TEST_PERCENT (of the
usual number of repetitions).
EOF
}

with_clang=1
options=(-Dtests=enabled -Dbench=auto -Dexamples=auto -Dwerror=false)
while [ $# -gt 0 ]; do
    case $1 in
    --long) export AOMALLOC_TEST_LONG=1 ;;
    --gcc-only) with_clang= ;;
    --werror) options=(-Dtests=enabled -Dbench=enabled -Dexamples=enabled -Dwerror=true) ;;
    --help)
        usage
        exit
        ;;
    *)
        usage >&2
        exit 2
        ;;
    esac
    shift
done

tools/install_deps.sh build test model example

# shellcheck source-path=SCRIPTDIR source=suite.sh
. tools/suite.sh

patience=1
if [ -n "${AOMALLOC_TEST_LONG-}" ]; then
    patience=10
fi
# A few minutes are enough for whoever changes something.
without=() without_clang=(--no-suite rseq-off)
if [ -z "${AOMALLOC_TEST_LONG-}${CI-}" ]; then
    without=(--no-suite model)
    without_clang+=(--no-suite step)
fi
suite_run gcc gcc build-test-gcc "${options[@]}" -Dcount_rmw=true -- -t "$patience" "${without[@]}"
if [ -n "$with_clang" ]; then
    # What is installed and how it is found does not depend on the compiler, nor do models; other people's programs
    # hardly do. perthread has no code that base and percpu have not, but for its claims, which are plain C; .ci/run has
    # a build by clang in which it is tested.
    suite_run clang clang build-test-clang "${options[@]}" -- -t "$patience" --no-suite install --no-suite programs \
        --no-suite model --no-suite perthread "${without_clang[@]}"
fi

suite_list_times
suite_list_failures
echo "$suite_passed passed, $suite_failed failed, $suite_skipped skipped"
[ "$suite_failed" -eq 0 ]
