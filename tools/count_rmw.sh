#!/bin/sh
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
#
# Atomic read-modify-writes per operation on 1 to 256 virtual CPUs, simulated on any machine: builds, runs, prints
# tables, draws. docs/performance.md says what is counted.

set -eu

usage()
{
    cat <<EOF
usage: $(basename "$0") OUTPUT_DIR [--ops N] [--cpus LIST] [--help]

Writes scaling.csv and, with gnuplot, scaling.svg to OUTPUT_DIR, and prints Markdown tables. Builds in build-count
beside the source, or in \$BENCH_BUILD_DIR.

  --ops N      operations per CPU that are counted, after as many of warm-up (default 20000)
  --cpus LIST  numbers of virtual CPUs, separated by commas (default 1,2,4,8,16,32,64,128,256)
  --show LIST  those that tables have (default 1,4,16,64,256)
EOF
}

fail()
{
    echo "$(basename "$0"): $*" >&2
    exit 1
}

options=$(getopt -n "$(basename "$0")" -o h -l help,ops:,cpus:,show: -- "$@") || { usage >&2; exit 2; }
eval set -- "$options"
ops=20000 cpus=1,2,4,8,16,32,64,128,256 show=1,4,16,64,256
while [ "$1" != -- ]; do
    case $1 in
    --ops) ops=$2; shift 2 ;;
    --cpus) cpus=$2; shift 2 ;;
    --show) show=$2; shift 2 ;;
    *) usage; exit 0 ;;
    esac
done
shift
[ $# -eq 1 ] || { usage >&2; exit 2; }
output=$1
cpus=$(echo "$cpus" | tr ',' ' ')
show=$(echo "$show" | tr ',' ' ')
ways='base percpu-cas percpu-rseq perthread'
workloads='pair batch churn exchange oneway falseshare'

source=$(cd "$(dirname "$0")/.." && pwd)
build=${BENCH_BUILD_DIR-$source/build-count}
[ -e "$build/build.ninja" ] ||
    meson setup "$build" "$source" -Dbuildtype=release -Dbench=enabled -Dcount_rmw=true -Dtests=disabled \
        -Dexamples=disabled -Dman=disabled >&2 || fail "the build could not be configured"
ninja -C "$build" >&2 || fail "the build failed"
mkdir -p "$output"
csv=$output/scaling.csv

# simulate WAY WORKLOAD CPUS OVERLAP: a line of key=value pairs
simulate()
{
    arguments="--workload $2 --cpus $3 --ops $ops $4"
    case $1 in
    percpu-cas) GLIBC_TUNABLES=glibc.pthread.rseq=0 run_one percpu --mode cas ;;
    percpu-rseq) run_one percpu ;;
    *) run_one "$1" ;;
    esac
}

run_one()
{
    variant=$1
    shift
    # shellcheck disable=SC2086 # several words
    "$build/bench/counting/bench-simulate-$variant" $arguments "$@"
}

run_all()
{
    echo "way,workload,cpus,overlap,ops,rmw_per_op,contended_per_op,moved_per_op,hottest_per_op,blocks_per_op"
    for workload in $workloads; do
        for way in $ways; do
            for count in $cpus; do
                for overlap in '' --overlap; do
                    line=$(simulate "$way" "$workload" "$count" "$overlap")
                    [ -n "$line" ] || fail "no result of $way in $workload with $count CPUs"
                    echo "$line" | sed "s/.* workload=/$way,/; s/ [a-z_]*=/,/g"
                done
            done
        done
    done
}

# table TITLE OVERLAP COLUMN: a row per workload and way, a column per number of CPUs; none for a row of zeros
table()
{
    echo "| $1 | $(echo "$show" | sed 's/ / | /g') |"
    echo "|---|$(echo "$show" | sed 's/[^ ]*/---|/g; s/ //g')"
    for workload in $workloads; do
        for way in $ways; do
            awk -F, -v workload="$workload" -v way="$way" -v overlap="$2" -v column="$3" -v show=" $show " '
                $1 == way && $2 == workload && $4 == overlap && index(show, " " $3 " ") {
                    row = row sprintf(" %.3f |", $column)
                }
                END { if (row ~ /[1-9]/) print "| " workload ", " way " |" row }' "$csv"
        done
    done
    echo
}

run_all >"$csv"
table 'read-modify-writes per operation' 0 6
table 'cache lines that move, per operation' 0 8
table 'of these, to the same line' 0 9
table 'read-modify-writes per operation, calls overlap' 1 6

if command -v gnuplot >/dev/null; then
    "$source/tools/count_rmw_plot.sh" "$csv" "$output"
else
    echo "$(basename "$0"): no picture without gnuplot (Debian package gnuplot-nox)" >&2
fi
