#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat <<'END'
usage: tools/prove.sh [--list] [--some | --each] [--variant VARIANT] [--markdown FILE] [--help] [PROOF...]

Runs the proofs named, or all, on every variant or one, in full: each instruction boundary, not a sample of them.
Builds in build-prove, or in $PROVE_BUILD_DIR, and keeps what the tests said in its folder proofs. The exit status is 0
only if nothing failed and not all was skipped; a proof of which there is no test at all has failed. In full it takes
a day on one core; AOMALLOC_TEST_SEED repeats what is random in it.

  --list           the proofs
  --some           samples, more than in the test suite
  --each           each boundary with one of the things to try there; of calls of more than 8000 instructions handlers
                   run at one in 8, threads stop and forks happen at one in 64: takes some hours
  --variant V      tests of this variant only, as far as they are of a variant: those that --list shows without a slash,
                   and commands with VARIANT. Other commands are run as they are
  --markdown FILE  replaces the table in FILE by the counts that the runs printed, also those of earlier runs that are
                   still in the folder
END
}

# name | a test (with the cases of it that are meant), run on every variant that has it, or a command | what it shows
# In commands VARIANT becomes the option --variant, if it was given, and BUILD the build directory.
list() {
    local file
    cat <<'END'
interrupted|boundary_interrupted:interrupted_in_each_state|a handler at each instruction boundary
handlers   |boundary_interrupted:each_handler_in_each_handler|handlers that are interrupted by handlers
fronts     |boundary_interrupted:interrupted_in_states_of_the_variant|the same in the fronts, all sections aborted
unaborted  |boundary_interrupted:interrupted_where_no_section_is_aborted|the same, and no section but that one aborted
sequences  |single_step|handlers in long sequences of calls, once after each instruction and in bursts
frozen     |boundary_halted:frozen_in_each_state two_frozen_in_each_state|threads that stop for ever
killed     |boundary_halted:killed_in_each_state two_killed_in_each_state|threads that are killed
forked     |boundary_forked:forked_in_each_state|a fork at each instruction boundary
forkfronts |boundary_forked:forked_in_states_of_the_variant|the same in the fronts
sections   |percpu_fronts|percpu: restartable sections, interrupted at their stores and emptied
threads    |perthread_fronts|perthread: calls within every window, fronts emptied under way
claims     |perthread_claims|perthread: calls interrupted, left for good or forked at each instruction
work       |tools/work.sh|bounded work: instructions of calls in a long churn
models     |tests/model/run.sh --full|models of the lock-free parts, in all interleavings
mutations  |tools/mutate.py|the library broken on purpose
fuzz       |tools/fuzz.sh VARIANT|sequences of calls that libFuzzer looks for
afl        |tools/fuzz.sh VARIANT --engine afl|the same by AFL++
soak       |tools/soak.sh BUILD BUILD/soak|everything at once for half an hour
vm         |tools/test_aarch64_vm.sh|restartable sequences of aarch64, in an emulated machine
END
    for file in tools/cross/*.ini; do
        file=$(basename "$file" .ini)
        printf '%-11s|tools/test_cross.sh %s|%s\n' "$file" "$file" 'the suite on another processor or C library'
    done
}

trim() {
    local text=$1
    text=${text#"${text%%[![:space:]]*}"}
    printf '%s' "${text%"${text##*[![:space:]]}"}"
}

build=${PROVE_BUILD_DIR-build-prove}
extent=all markdown='' wanted=()
all_variants=$(sed -n "s/^variants = \[\(.*\)\]/\1/p" variants/meson.build | tr -d "',")
variants=$all_variants variant_option=()
while [ $# -gt 0 ]; do
    case $1 in
    --list)
        list
        exit
        ;;
    --some) extent=some ;;
    --each) extent=each ;;
    --variant)
        variants=${2-}
        [[ " $all_variants " == *" $variants "* ]] || { usage >&2; exit 2; }
        variant_option=(--variant "$variants")
        shift
        ;;
    --markdown)
        markdown=${2-}
        [ -f "$markdown" ] || { usage >&2; exit 2; }
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
    *)
        list | grep "^$1 *|" >/dev/null || { echo "prove.sh: no such proof: $1" >&2; exit 2; }
        wanted+=("$1")
        ;;
    esac
    shift
done

is_wanted() {
    [ ${#wanted[@]} -eq 0 ] || [[ " ${wanted[*]} " == *" $1 "* ]]
}

# The program of a test of a variant; nothing if the variant has no such test.
program_of() {
    meson introspect "$build" --tests | python3 -c '
import json, sys
for test in json.load(sys.stdin):
    suites = [suite.rpartition(":")[2] for suite in test["suite"]]
    if test["name"] == sys.argv[1] and sys.argv[2] in suites:
        print(test["cmd"][0])' "$1" "$2"
}

# Lines that tell how far a run is.
telling='^(covered|churn|\[ RUN|\[  FAILED|\[[0-9]+/)|check failed|skipped'

# fail TITLE WHY
fail() {
    echo "==> $1: $2"
    failed=$((failed + 1))
    failures+=("$1: $2")
}

# What ended well replaces what was there: counts of a run that failed are in no table.
record() {
    local title=$1 log=$2 status
    shift 2
    echo "==> $title"
    set +e
    "$@" 2>&1 | tee "$log.part" | grep --line-buffered -E "$telling"
    status=${PIPESTATUS[0]}
    set -e
    if [ "$status" -eq 77 ]; then
        echo "skipped: $title"
        skipped=$((skipped + 1))
        rm -f "$log.part" "$log"
    elif [ "$status" -eq 0 ]; then
        passed=$((passed + 1))
        mv "$log.part" "$log"
    else
        failed=$((failed + 1))
        failures+=("$title: $log.part")
        rm -f "$log"
    fi
}

# A variant need not have the test, but one must, even if it is not asked for.
run_test() {
    local name=$1 test=${2%%:*} cases=() variant program somewhere='' here=''
    if [[ $2 == *:* ]]; then
        read -ra cases <<<"${2#*:}"
    fi
    for variant in $all_variants; do
        program=$(program_of "$test" "$variant")
        [ -n "$program" ] || continue
        somewhere=1
        if [[ " $variants " == *" $variant "* ]]; then
            here=1
            record "$name, $variant" "$build/proofs/$name-$variant.log" "$program" "${cases[@]}"
        fi
    done
    if [ -z "$somewhere" ]; then
        fail "$name" "no variant has a test $test"
    elif [ -z "$here" ]; then
        echo "skipped: $name: $variants has no test $test"
        skipped=$((skipped + 1))
    fi
}

run_command() {
    local name=$1 word command=()
    for word in $2; do
        case $word in
        VARIANT) command+=("${variant_option[@]}") ;;
        *) command+=("${word/#BUILD/$build}") ;;
        esac
    done
    if [ -x "${command[0]}" ]; then
        record "$name" "$build/proofs/$name.log" "${command[@]}"
    else
        fail "$name" "there is no ${command[0]}"
    fi
}

run_all() {
    local name what
    while IFS='|' read -r name what _; do
        name=$(trim "$name")
        what=$(trim "$what")
        is_wanted "$name" || continue
        if [[ $what != */* ]]; then
            run_test "$name" "$what"
        else
            run_command "$name" "$what"
        fi
    done < <(list)
}

passed=0 failed=0 skipped=0 failures=()
export CC=${CC-gcc} CXX=${CXX-g++}
[ -f "$build/build.ninja" ] || meson setup "$build" -Dtests=enabled -Dbench=disabled -Dexamples=disabled -Dman=disabled
ninja -C "$build"
mkdir -p "$build/proofs"
export AOMALLOC_TEST_BOUNDARIES=$extent
if [ "$extent" = all ]; then
    export AOMALLOC_TEST_LONG=1
fi
run_all < /dev/null
if [ -n "$markdown" ]; then
    python3 tools/prove_table.py "$build/proofs" "$markdown"
fi
for failure in "${failures[@]}"; do
    echo "FAILED: $failure"
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
