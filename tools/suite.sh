# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
#
# To be sourced by tools/test.sh and .ci/run: builds, runs the test suite in a build directory and adds up the results.
# shellcheck shell=bash

suite_passed=0 suite_failed=0 suite_skipped=0
suite_failures=()
suite_times=() suite_since=0

# suite_clock NAME: how long it has taken since the last.
suite_clock() {
    suite_times+=("$((SECONDS - suite_since)) s $1")
    suite_since=$SECONDS
}

# suite_step NAME COMMAND...: one pass or failure.
suite_step() {
    local name=$1
    local status=0
    shift
    echo "==> $name"
    "$@" || status=$?
    suite_clock "$name"
    if [ "$status" -eq 0 ]; then
        suite_passed=$((suite_passed + 1))
    else
        suite_failed=$((suite_failed + 1))
        suite_failures+=("$name")
        return 1
    fi
}

# suite_configure DIR OPTION...: with CC and CXX from the environment. An old directory is configured anew.
suite_configure() {
    local dir=$1
    shift
    if [ -f "$dir/build.ninja" ]; then
        meson setup --reconfigure "$dir" "$@" >"$dir/configure.log" || { cat "$dir/configure.log"; return 1; }
    else
        meson setup "$dir" "$@"
    fi
}

suite_build() {
    local dir=$1
    shift
    suite_configure "$dir" "$@" && ninja -C "$dir"
}

# "passed failed skipped" of the test log that meson wrote last, then the failed ones by name, with their cases.
suite_count() {
    python3 - "$1" <<'EOF'
import glob, json, os, re, sys

logs = glob.glob(os.path.join(sys.argv[1], 'meson-logs', 'testlog*.json'))
results = failed = []
if logs:
    with open(max(logs, key=os.path.getmtime), encoding='utf-8') as log:
        tests = [json.loads(line) for line in log]
    results = [test['result'] for test in tests]
    failed = [test['name'].partition(':')[2].replace(' / ', '/')
              + ''.join(f'({case})' for case in sorted(set(re.findall(r'FAILED  \] (\w+)$', test['stdout'], re.M))))
              for test in tests if test['result'] not in ('OK', 'EXPECTEDFAIL', 'SKIP')]
passed = sum(result in ('OK', 'EXPECTEDFAIL') for result in results)
skipped = results.count('SKIP')
print(passed, len(failed), skipped, *failed)
EOF
}

# suite_test NAME DIR ARGUMENT...: meson test; its single tests are counted. To select none is a failure.
suite_test() {
    local name=$1 dir=$2 status=0 passed failed skipped names
    shift 2
    echo "==> $name"
    rm -f "$dir"/meson-logs/testlog*.json
    meson test -C "$dir" --print-errorlogs "$@" || status=$?
    suite_clock "$name"
    read -r passed failed skipped names < <(suite_count "$dir")
    if [ "$status" -ne 0 ] && [ "$failed" -eq 0 ]; then
        failed=1
    elif [ "$((passed + failed + skipped))" -eq 0 ]; then
        failed=1 names='no test is selected'
    fi
    suite_passed=$((suite_passed + passed))
    suite_failed=$((suite_failed + failed))
    suite_skipped=$((suite_skipped + skipped))
    if [ "$failed" -ne 0 ]; then
        suite_failures+=("$name: $failed: $names")
    fi
}

# suite_run NAME CC DIR [OPTION...] -- [ARGUMENT...]: builds with the options, then tests with the arguments.
suite_run() {
    local name=$1 compiler=$2 dir=$3 options=()
    shift 3
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    shift
    local cxx=${compiler/gcc/g++}
    if CC=$compiler CXX=${cxx/clang/clang++} suite_step "$name: build" suite_build "$dir" "${options[@]}"; then
        suite_test "$name: test" "$dir" "$@"
    fi
}

suite_list_failures() {
    local failure
    for failure in "${suite_failures[@]}"; do
        echo "FAILED: $failure"
    done
}

suite_list_times() {
    local IFS=,
    echo "time: ${suite_times[*]}" | sed 's/,/, /g'
}
