#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat <<'EOF'
usage: tools/fuzz.sh [--engine libfuzzer|afl] [--variant VARIANT] [--seconds N] [TARGET...]
       tools/fuzz.sh --coverage [--suite]
       tools/fuzz.sh --merge | --list | --help

Looks for inputs on which a target of tests/fuzz fails: every target, on every variant, unless named. Installs what
is missing. Each target begins with tests/fuzz/seeds and what earlier runs found; what fails is kept in
build-fuzz-ENGINE/found, its path is printed, and the exit status is 1. To see such an input fail again, under
a debugger for instance:

    build-fuzz-libfuzzer/tests/fuzz/replay_TARGET-VARIANT FILE

  --engine E    libfuzzer (default), with UndefinedBehaviorSanitizer; or afl, AFL++
  --variant V   one variant only
  --seconds N   for each target and variant; default 600
  --coverage    looks for nothing: runs the inputs that are there in a build that counts, and prints which part of lib/
                and variants/ they reach; the lines they do not reach go to build-fuzz-coverage/missed.txt
  --suite       with --coverage: counts the whole test suite too; some minutes. The exit status is 1 if
                a test fails
  --merge       adds to tests/fuzz/seeds what earlier runs found and what reaches code that the seeds do not
  --list        names the targets and variants
EOF
}

die() {
    echo "fuzz.sh: $*" >&2
    exit 2
}

list() { # what tests/fuzz/meson.build and variants/meson.build say
    sed -n "s/^$1 = \[\(.*\)\]/\1/p" "$2" | tr -d "',"
}

engine=libfuzzer seconds=600 action=search with_suite='' targets=()
read -ra all_targets < <(list fuzz_targets tests/fuzz/meson.build) || die 'tests/fuzz/meson.build names no targets'
read -ra variants < <(list variants variants/meson.build) || die 'variants/meson.build names no variants'

is_one_of() { # NAME LIST...
    local name=$1 other
    shift
    for other; do
        [ "$name" != "$other" ] || return 0
    done
    return 1
}

while [ $# -gt 0 ]; do
    case $1 in
    --engine | --variant | --seconds)
        [ $# -gt 1 ] || die "$1 needs a value; --help tells more"
        case $1 in
        --engine)
            is_one_of "$2" libfuzzer afl || die "no such engine: $2; there are: libfuzzer afl"
            engine=$2
            ;;
        --variant)
            is_one_of "$2" "${variants[@]}" || die "no such variant: $2; there are: ${variants[*]}"
            variants=("$2")
            ;;
        --seconds)
            [[ $2 =~ ^[1-9][0-9]*$ ]] || die "--seconds needs a number above 0, not $2"
            seconds=$2
            ;;
        esac
        shift
        ;;
    --coverage | --merge | --list) action=${1#--} ;;
    --suite) with_suite=yes ;;
    --help)
        usage
        exit
        ;;
    -*) die "no such option: $1; --help tells which there are" ;;
    *)
        is_one_of "$1" "${all_targets[@]}" || die "no such target: $1; there are: ${all_targets[*]}"
        targets+=("$1")
        ;;
    esac
    shift
done
[ ${#targets[@]} -gt 0 ] || targets=("${all_targets[@]}")

# build DIR COMPILER FLAGS MESON_ARGUMENT...: what is in a folder of its own
build() {
    local dir=$1 compiler=$2 flags=$3 log
    shift 3
    if [ ! -f "$dir/build.ninja" ]; then
        log=$(CC=$compiler meson setup "$dir" -Dtests=enabled -Dexamples=disabled -Dbench=disabled -Dman=disabled \
            -Dc_args="$flags" -Dc_link_args="$flags" -Db_lundef=false "$@") ||
            { echo "$log"; die "cannot configure $dir"; }
    fi
}

# The programs fuzz_* and replay_* of an engine.
build_engine() {
    local dir=build-fuzz-$engine programs=() target variant
    for target in "${all_targets[@]}"; do
        for variant in "${variants[@]}"; do
            programs+=("tests/fuzz/fuzz_$target-$variant" "tests/fuzz/replay_$target-$variant")
        done
    done
    # afl++ 4.04's own instrumentation reads counters' numbers beyond its table where the compiler made a select.
    export AFL_QUIET=1 AFL_LLVM_INSTRUMENT=LLVM-NATIVE
    if [ "$engine" = afl ]; then
        build "$dir" afl-clang-fast '' -Dfuzz=true -Dpreload=disabled -Dbuildtype=debugoptimized
    else
        build "$dir" clang '-fsanitize=fuzzer-no-link,undefined -fno-sanitize-recover=undefined' -Dfuzz=true \
            -Dpreload=disabled -Dbuildtype=debugoptimized
    fi
    ninja -C "$dir" "${programs[@]}" >"$dir/build.log" || { cat "$dir/build.log"; die "cannot build $dir"; }
}

with_libfuzzer() { # TARGET VARIANT
    local dir=build-fuzz-libfuzzer corpus
    corpus=$dir/corpus/$1-$2
    mkdir -p "$corpus" "$dir/found"
    "$dir/tests/fuzz/fuzz_$1-$2" -max_total_time="$seconds" -max_len=512 -timeout=120 -rss_limit_mb=8192 \
        -print_final_stats=1 -verbosity=1 -artifact_prefix="$dir/found/$1-$2-" "$corpus" "tests/fuzz/seeds/$1" \
        >"$dir/$1-$2.log" 2>&1
}

with_afl() { # TARGET VARIANT
    local dir=build-fuzz-afl out
    out=$dir/out/$1-$2
    mkdir -p "$dir/out" "$dir/found"
    rm -rf "$out"
    # What is called a hang must not depend on what else the machine does.
    AFL_NO_UI=1 AFL_SKIP_CPUFREQ=1 AFL_NO_AFFINITY=1 AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1 AFL_HANG_TMOUT=60000 \
        afl-fuzz -i "tests/fuzz/seeds/$1" -o "$out" -V "$seconds" -m none -t 60000 -G 512 \
        -- "$dir/tests/fuzz/fuzz_$1-$2" >"$dir/$1-$2.log" 2>&1 || return
    find "$out/default/crashes" "$out/default/hangs" -name 'id:*' -exec cp -t "$dir/found" {} +
    [ -z "$(find "$out/default/crashes" "$out/default/hangs" -name 'id:*')" ]
}

summary() { # TARGET VARIANT
    local log=build-fuzz-$engine/$1-$2.log stats=build-fuzz-afl/out/$1-$2/default/fuzzer_stats
    if [ "$engine" = afl ]; then
        sed -n 's/^\(execs_done\|execs_per_sec\|corpus_count\|saved_crashes\|saved_hangs\|bitmap_cvg\) *: */\1 /p' \
            "$stats" 2>/dev/null | paste -sd ' '
    else
        sed -n 's/^stat::\(number_of_executed_units\|average_exec_per_sec\|new_units_added\): */\1 /p' "$log" |
            paste -sd ' '
    fi
}

search() {
    local target variant failures=0
    tools/install_deps.sh build test fuzz
    build_engine
    for target in "${targets[@]}"; do
        for variant in "${variants[@]}"; do
            echo "--- $target, $variant, $engine, $seconds s"
            if ! "with_$engine" "$target" "$variant"; then
                failures=$((failures + 1))
                grep -E 'check failed|runtime error|SUMMARY|ERROR|Test unit written|PROGRAM ABORT' \
                    "build-fuzz-$engine/$target-$variant.log" || tail -n 5 "build-fuzz-$engine/$target-$variant.log"
            fi
            summary "$target" "$variant"
        done
    done
    [ "$failures" -eq 0 ] || { echo "what fails: build-fuzz-$engine/found"; exit 1; }
}

# What reaches code that the seeds do not, as files that are named after what is in them. Without counters, which tell
# how often each branch was taken: hundreds of inputs differ in these.
merge() {
    local target variant corpus dir file
    tools/install_deps.sh build test fuzz
    engine=libfuzzer
    build_engine
    for target in "${targets[@]}"; do
        for variant in "${variants[@]}"; do
            corpus=build-fuzz-libfuzzer/corpus/$target-$variant
            [ -d "$corpus" ] || continue
            dir=$(mktemp -d)
            for file in tests/fuzz/seeds/"$target"/*; do
                cp "$file" "$dir"
            done
            "build-fuzz-libfuzzer/tests/fuzz/fuzz_$target-$variant" -merge=1 -use_counters=0 -max_len=512 "$dir" \
                "$corpus" 2>/dev/null
            for file in "$dir"/*; do
                [[ $file == *.dat ]] || cp "$file" "tests/fuzz/seeds/$target/$(basename "$file" | cut -c 1-12).dat"
            done
            rm -rf "$dir"
        done
    done
}

# Whatever is there: seeds, and what libFuzzer found.
replay_all() { # DIR
    local target variant
    for target in "${all_targets[@]}"; do
        for variant in "${variants[@]}"; do
            mkdir -p "build-fuzz-libfuzzer/corpus/$target-$variant"
            "$1/tests/fuzz/replay_$target-$variant" "tests/fuzz/seeds/$target" \
                "$(find "build-fuzz-libfuzzer/corpus/$target-$variant" -maxdepth 0 -not -empty |
                    grep . || echo "tests/fuzz/seeds/$target")" >/dev/null
        done
    done
}

# Lines of each file that runs have reached. (llvm-cov report counts a header's lines once for each program.)
print_counts() { # LCOV_FILE
    awk -F '[:,]' '
        /^SF:/ { file = substr($0, 4); sub(/^.*\.\.\//, "", file) }
        /^DA:/ && file ~ /^(lib|variants)\// { lines[file]++; reached[file] += $3 > 0; all++; all_reached += $3 > 0 }
        END {
            for (file in lines)
                printf "%-40s %5d of %5d lines\n", file, reached[file], lines[file] | "sort"
            close("sort")
            printf "%-40s %5d of %5d lines, %.1f%%\n", "together", all_reached, all, 100 * all_reached / all
        }' "$1"
}

# FILE:LINE: TEXT of each line that no run has reached.
print_missed() { # LCOV_FILE
    awk -F '[:,]' -v root="$PWD/" '
        /^SF:/ { file = substr($0, 4); sub(root, "", file); sub(/^.*\.\.\//, "", file) }
        /^DA:/ && $3 == 0 && file ~ /^(lib|variants)\// { print file, $2 }' "$1" | sort -u -k 1,1 -k 2,2n |
        while read -r file line; do
            printf '%s:%s: %s\n' "$file" "$line" "$(sed -n "${line}s/^ *//p" "$file")"
        done
}

# Counters lie in files that the processes map, since tests end by _exit() and by signals.
coverage() {
    local dir=build-fuzz-coverage counts objects=() object status=0
    tools/install_deps.sh build test fuzz
    counts=$PWD/$dir/counts
    export LLVM_PROFILE_FILE="$counts/%m%c.profraw" # also of what meson runs to try the compiler
    build "$dir" clang '-fprofile-instr-generate -fcoverage-mapping -mllvm -runtime-counter-relocation' \
        -Dbuildtype=debugoptimized -Dpreload=disabled
    ninja -C "$dir" >"$dir/build.log" || { cat "$dir/build.log"; die "cannot build $dir"; }
    rm -rf "$counts"
    mkdir -p "$counts"
    replay_all "$dir"
    if [ -n "$with_suite" ]; then # without what counters disturb: early, symbols, stack, steps that are counted
        meson test -C "$dir" --no-rebuild -t 5 --no-suite install --no-suite model --no-suite stack --no-suite abi \
            >"$dir/suite.log" 2>&1 || status=1
    fi
    unset LLVM_PROFILE_FILE
    llvm-profdata merge -o "$dir/counts.profdata" "$counts"/*.profraw
    while read -r object; do
        objects+=(-object "$object")
    done < <(find "$dir/tests" "$dir/variants" -type f \( -perm -u+x -o -name '*.so.*' \) |
        grep -v '\.\(sh\|symbols\)$' | if [ -n "$with_suite" ]; then cat; else grep '/replay_'; fi)
    llvm-cov export -format=lcov "${objects[@]:1}" -instr-profile="$dir/counts.profdata" \
        >"$dir/lines.lcov"
    print_missed "$dir/lines.lcov" >"$dir/missed.txt"
    print_counts "$dir/lines.lcov"
    echo "lines that are not reached: $dir/missed.txt"
    if [ "$status" -ne 0 ]; then
        grep -E 'FAIL|TIMEOUT|ERROR' "$dir/suite.log" || true
        echo "the test suite failed: $dir/suite.log"
    fi
    return "$status"
}

case $action in
list)
    printf 'targets: %s\nvariants: %s\nengines: libfuzzer afl\n' "${all_targets[*]}" "${variants[*]}"
    ;;
*) "$action" ;;
esac
