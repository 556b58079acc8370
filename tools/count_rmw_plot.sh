#!/bin/sh
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
#
# Draws the CSV file of tools/count_rmw.sh: scaling.svg, a panel per workload, read-modify-writes and those on words
# that another CPU wrote last, per operation, by number of virtual CPUs.

set -eu

fail()
{
    echo "$(basename "$0"): $*" >&2
    exit 1
}

if [ "${1-}" = --help ] || [ $# -ne 2 ]; then
    echo "usage: $(basename "$0") CSV OUTPUT_DIR"
    [ "${1-}" = --help ] && exit 0
    exit 2
fi
csv=$1 output=$2
[ -r "$csv" ] || fail "$csv is not readable"
command -v gnuplot >/dev/null || fail "gnuplot is missing (Debian package gnuplot-nox)"
mkdir -p "$output"
# shellcheck source-path=SCRIPTDIR source=colors.sh
. "$(dirname "$0")/colors.sh"

ways='base percpu-cas percpu-rseq perthread'
# What counts as nothing on the logarithmic scale.
least=0.001

# That of perthread among other allocators is too near to base's.
way_color()
{
    case $1 in
    perthread) echo "#2166ac" ;;
    *) color_of "$1" ;;
    esac
}

# points WAY WORKLOAD OVERLAP COLUMN
points()
{
    awk -F, -v way="$1" -v workload="$2" -v overlap="$3" -v column="$4" -v least="$least" '
        $1 == way && $2 == workload && $4 == overlap { print $3, ($column > least ? $column : least) }' "$csv"
}

# panel WORKLOAD
panel()
{
    workload=$1
    plots=
    separator=plot
    echo "set title '$workload'"
    for way in $ways; do
        for kind in '0 6 1' '0 7 2' '1 6 3'; do
            overlap=${kind%% *}
            dash=${kind##* }
            column=${kind#* }
            column=${column% *}
            data=\$$(echo "$way" | tr - _)_${overlap}_$column
            echo "$data << END"
            points "$way" "$workload" "$overlap" "$column"
            echo "END"
            plots="$plots$separator $data using 1:2 with linespoints pointtype 7 pointsize 0.4 linewidth 2 \
dashtype $dash linecolor rgb '$(way_color "$way")' notitle"
            separator=,
        done
    done
    echo "$plots"
    echo "unset label" # once is enough
}

plot()
{
    cat <<EOF
set terminal svg size 1000,820 dynamic background rgb 'white' font 'sans-serif,13'
set output '$output/scaling.svg'
set multiplot layout 2,3 \\
    title 'read-modify-writes per operation (one malloc and one free), by number of virtual CPUs' \\
    noenhanced margins 0.05,0.98,0.05,0.87 spacing 0.07,0.09
set logscale xy
set xrange [0.9:290]
set yrange [$least * 0.8:60]
set xtics (1, 4, 16, 64, 256)
set ytics ('0' $least, '0.01' 0.01, '0.1' 0.1, '1' 1, '10' 10)
set grid ytics linecolor rgb '#cccccc'
set key off
set label 1 'base' at screen 0.05,0.955 textcolor rgb '$(way_color base)'
set label 2 'percpu-cas' at screen 0.09,0.955 textcolor rgb '$(way_color percpu-cas)'
set label 3 'percpu-rseq' at screen 0.17,0.955 textcolor rgb '$(way_color percpu-rseq)'
set label 4 'perthread' at screen 0.26,0.955 textcolor rgb '$(way_color perthread)'
set label 5 'solid: all of them; dashed: of these, on a word that another CPU was the last to write; \
dotted: all, when calls overlap' at screen 0.05,0.93
EOF
    for workload in pair batch churn exchange oneway falseshare; do
        panel "$workload"
    done
    echo "unset multiplot"
}

[ -n "$(points base pair 0 6)" ] || fail "$csv holds no simulation"
plot | gnuplot || fail "gnuplot failed"
