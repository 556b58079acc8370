# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
# csv, svg: what tools/work.sh wrote and what to make of it.
set terminal svg size 900,800 font 'sans-serif,12' background 'white'
set output svg
set datafile separator ','
set logscale xy
set xlabel 'instructions of a call, about'
set ylabel 'calls, per bucket'
set xrange [5:*]
set yrange [0.7:*]
set format x '10^{%L}'
set format y '10^{%L}'
set grid
set key outside bottom center horizontal
variants = system('sed 1d "' . csv . '" | cut -d, -f1 | sort -u | tr "\n" " "')
set multiplot layout words(variants),1
set linetype 5 lc rgb '#a65628'
kinds = 'AO_malloc AO_free AO_calloc AO_realloc AO_aligned_alloc NULL_is_returned AO_malloc_trim'
do for [variant in variants] {
    set title variant noenhanced
    # Coarser buckets, eight to a doubling; calls that made a system call are in it.
    bucket(x) = 2 ** (floor(8 * log(x) / log(2)) / 8.0)
    plot for [kind in kinds] csv using \
        (stringcolumn(1) eq variant && stringcolumn(2) eq kind ? bucket($4 + 1) : NaN):5 \
        smooth frequency with points pt 7 ps 0.4 title kind noenhanced
}
unset multiplot
