#!/bin/sh
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
#
# Draws aomalloc-bench's CSV file: bench_time.svg, ns per operation in a panel per number of threads, and, when
# "phases" was measured, bench_memory.svg, resident memory as a multiple of what is live.

set -eu

fail()
{
    echo "$(basename "$0"): $*" >&2
    exit 1
}

if [ "${1-}" = --help ] || [ $# -ne 2 ]; then
    echo "usage: $(basename "$0") CSV OUTPUT_DIR" >&2
    [ "${1-}" = --help ] && exit 0
    exit 2
fi
csv=$1 output=$2
[ -r "$csv" ] || fail "$csv is not readable"
command -v gnuplot >/dev/null || fail "gnuplot is missing (Debian package gnuplot-nox)"
mkdir -p "$output"
# shellcheck source-path=SCRIPTDIR source=colors.sh
. "$(dirname "$0")/colors.sh"

# The distinct values of a column in the lines of one metric, in their order of appearance.
values()
{
    awk -F, -v column="$1" -v metric="$2" 'NR > 1 && $4 == metric && !seen[$column]++ { print $column }' "$csv"
}

# matrix METRIC ROW_COLUMN [THREADS]: a table of medians with a row per value of that column and a column per allocator
matrix()
{
    awk -F, -v metric="$1" -v row_column="$2" -v threads="${3-}" -v allocators="$allocators" '
        # the memory panels have a row per number of threads, and room for one workload
        NR > 1 && $4 == metric && (threads == "" || $2 == threads) && !(row_column == 2 && $1 != "phases") {
            if (!($row_column in seen)) {
                seen[$row_column] = 1
                order[++rows] = $row_column
            }
            median[$row_column, $3] = $6
        }
        END {
            columns = split(allocators, name, " ")
            for (r = 1; r <= rows; r++) {
                line = "\"" order[r] "\""
                for (c = 1; c <= columns; c++)
                    line = line " " ((order[r], name[c]) in median ? median[order[r], name[c]] : "NaN")
                print line
            }
        }' "$csv"
}

# has_value METRIC ALLOCATOR [THREADS]
has_value()
{
    awk -F, -v metric="$1" -v allocator="$2" -v threads="${3-}" '
        $3 == allocator && $4 == metric && (threads == "" || $2 == threads) { found = 1 }
        END { exit !found }' "$csv"
}

# What a reader of the plot should see instead of the driver's short names, of which all others are variants.
label_of()
{
    case $1 in
    glibc | libc | mimalloc | jemalloc | tcmalloc) echo "$1" ;;
    reference) echo "libatomic_ops" ;;
    *) echo "aomalloc $1" ;;
    esac
}

# panel NAME TITLE METRIC ROW_COLUMN [THREADS]
panel()
{
    echo "\$$1 << END"
    matrix "$3" "$4" "${5-}"
    echo "END"
    echo "set title '$2'"
    echo "set xrange [-0.6:$(matrix "$3" "$4" "${5-}" | wc -l) - 0.4]"
    plot="plot"
    column=2
    for allocator in $allocators; do
        # gnuplot refuses to draw a column without any value
        if has_value "$3" "$allocator" "${5-}"; then
            echo "$plot \$$1 using $column:xtic(1) linecolor rgb '$(color_of "$allocator")'" \
                "title '$(label_of "$allocator")' \\"
            plot="    ,"
        fi
        column=$((column + 1))
    done
    echo
    echo "set key off"
}

# head_of FILE PANELS TITLE: places are in pixels here and fractions of the height for gnuplot
head_of()
{
    height=$((270 * $2 + 120))
    fraction() { awk -v pixels="$1" -v height="$height" 'BEGIN { printf "%.4f", pixels / height }'; }
    cat <<EOF
set terminal svg size 1000,$height dynamic background rgb 'white' font 'sans-serif,13'
set output '$1'
set multiplot layout $2,1 title '$3' noenhanced margins 0.08,0.98,$(fraction 40),$(fraction $((height - 110))) \\
    spacing 0.1,$(fraction 75)
set style data histograms
set style histogram clustered gap 1
set style fill solid 0.9 noborder
set grid ytics linecolor rgb '#cccccc'
set key at screen 0.5,$(fraction $((height - 35))) top center horizontal noenhanced samplen 1.5 maxrows 1
set xtics scale 0 noenhanced
EOF
}

time_plot()
{
    thread_counts=$(values 2 ns_per_op)
    head_of "$output/bench_time.svg" "$(echo "$thread_counts" | wc -l)" \
        "ns per operation (one malloc and one free), logarithmic: less is better"
    echo "set logscale y"
    echo "set yrange [1:*]"
    echo "set format y '%.0f'"
    for threads in $thread_counts; do
        panel "threads_$threads" "$threads thread$([ "$threads" = 1 ] || echo s)" ns_per_op 1 "$threads"
    done
    echo "unset multiplot"
}

memory_plot()
{
    head_of "$output/bench_memory.svg" 3 "phases: resident memory / live bytes by number of threads: less is better"
    echo "set yrange [0:*]"
    panel peak "peak" peak_per_live 2
    panel freed "all is freed" end_per_live 2
    panel trimmed "all is freed, and the allocator was asked to give memory back" trimmed_per_live 2
    echo "unset multiplot"
}

allocators=$(values 3 ns_per_op | tr '\n' ' ')
[ -n "$allocators" ] || fail "$csv holds no measurement"
time_plot | gnuplot || fail "gnuplot failed"
if [ -n "$(values 3 peak_per_live)" ]; then
    memory_plot | gnuplot || fail "gnuplot failed"
fi
