#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
#
# Everything at once for a long time (tests/soak), and a picture of it: soak-VARIANT.csv and soak.svg in OUTPUT,
# operations per second and resident memory over time. All variants at the same time.
set -euo pipefail

fail() {
    echo "soak.sh: $*" >&2
    exit 1
}

usage() {
    echo 'usage: tools/soak.sh BUILD OUTPUT [--seconds N]'
    echo 'BUILD: a build directory with tests; N: 1800 by default.'
}

build='' output='' seconds=1800
while [ $# -gt 0 ]; do
    case $1 in
    --help)
        usage
        exit 0
        ;;
    --seconds)
        [[ ${2-} =~ ^[0-9]+$ ]] || fail '--seconds wants a number'
        seconds=$2
        shift
        ;;
    *)
        if [ -z "$build" ]; then build=$1; elif [ -z "$output" ]; then output=$1; else usage >&2 && exit 2; fi
        ;;
    esac
    shift
done
[ -n "$output" ] || { usage >&2 && exit 2; }
command -v gnuplot >/dev/null || fail 'gnuplot is missing: tools/install_deps.sh bench'
programs=()
for program in "$build"/tests/test_soak-*; do
    [ -f "$program" ] && programs+=("$program")
done
[ ${#programs[@]} -gt 0 ] || fail "$build/tests has no test_soak-VARIANT: build with -Dtests=enabled"
mkdir -p "$output"
# shellcheck source-path=SCRIPTDIR source=colors.sh
. "$(dirname "$0")/colors.sh"

declare -A running
for program in "${programs[@]}"; do
    variant=${program##*-}
    AOMALLOC_TEST_SECONDS=$seconds AOMALLOC_SOAK_CSV=$output/soak-$variant.csv \
        "$program" >"$output/soak-$variant.log" 2>&1 &
    running[$variant]=$!
done
failed=0
for variant in "${!running[@]}"; do
    if wait "${running[$variant]}"; then
        echo "$variant: passed: $(grep ' operations, ' "$output/soak-$variant.log")"
    else
        echo "$variant: FAILED, see $output/soak-$variant.log" >&2
        failed=1
    fi
done

# plots TITLE-OF-AXIS EXPRESSION
plots() {
    local separator='plot'
    echo "set ylabel '$1'"
    for variant in "${!running[@]}"; do
        printf "%s '%s' using (column(1) / 60):(%s) with lines linecolor rgb '%s' title '%s'" "$separator" \
            "$output/soak-$variant.csv" "$2" "$(color_of "$variant")" "$variant"
        separator=,
    done
    echo
}

{
    echo "set terminal svg size 760,520 dynamic background rgb 'white' font 'sans-serif,12'"
    echo "set output '$output/soak.svg'"
    echo "set datafile separator ','"
    echo "set multiplot layout 2,1"
    echo "set key outside right; set grid ytics linecolor rgb '#dddddd'; set yrange [0:*]; set xlabel 'minutes'"
    plots 'thousand operations per second' 'column(2) / 1000'
    plots 'resident MiB' 'column(3) / 1048576'
} | gnuplot
echo "$output/soak.svg"
exit "$failed"
