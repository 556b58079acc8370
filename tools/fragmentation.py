#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
"""Runs bench/classic/lifetimes.c with each allocator preloaded: resident memory over memory in use, while blocks of
random sizes and lifetimes come and go. Writes fragmentation.csv and, with gnuplot, fragmentation.svg into OUTPUT, and
prints a table in Markdown. The figures are pages, not times: they are the same whatever else the machine does."""
import argparse
import csv
import os
import subprocess
import sys

import bench_programs

LAST_HALF = 0.5


def samples_of(program, library, work):
    environment = {**os.environ, **({'LD_PRELOAD': library} if library else {})}
    told = subprocess.run([program, '--work', str(work), 'samples'], env=environment, capture_output=True, text=True,
                          check=False)
    if told.returncode != 0:
        raise bench_programs.Failure(f'{program}: status {told.returncode}\n{told.stderr}')
    lines = [line.split() for line in told.stdout.splitlines()[:-1]] # the last one is the same under all
    return [tuple(map(int, line)) for line in lines]


def write_csv(path, samples):
    with open(path, 'w', newline='', encoding='ascii') as file:
        writer = csv.writer(file, lineterminator='\n')
        writer.writerow(['allocator', 'calls', 'live_bytes', 'resident_bytes'])
        for name, rows in samples.items():
            writer.writerows((name, *row) for row in rows)


def draw(path, samples):
    blocks, plots = [], []
    for name, rows in samples.items():
        points = '\n'.join(f'{calls / 1e6} {resident / live:.4f}' for calls, live, resident in rows[1:])
        blocks.append(f'${name} << EOD\n{points}\nEOD')
        color = bench_programs.COLORS[name]
        plots.append(f'${name} with lines linewidth 2 linecolor rgb "{color}" title "{name}"')
    script = '\n'.join([
        *blocks, 'set terminal svg size 760,400 dynamic background rgb "white" font "sans-serif,12"',
        f'set output "{path}"', 'set key outside right', 'set grid ytics linecolor rgb "#dddddd"',
        'set xlabel "million calls of malloc and free"', 'set ylabel "resident / in use"', 'set yrange [1:*]',
        'plot ' + ', '.join(plots)])
    try:
        subprocess.run(['gnuplot'], input=script, text=True, check=True)
    except FileNotFoundError as error:
        raise bench_programs.Failure('gnuplot is missing: tools/install_deps.sh bench') from error


def ratio(row):
    return row[2] / row[1]


def table(samples):
    lines = ['| | at half of the calls | at the end | most in the last half |', '|---|---|---|---|']
    for name, rows in samples.items():
        half = rows[int(len(rows) * LAST_HALF):]
        lines.append(f'| {name} | {ratio(half[0]):.2f} | {ratio(half[-1]):.2f} | {max(map(ratio, half)):.2f} |')
    return '\n'.join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('build', help='a build directory with -Dbench=enabled and -Dpreload=enabled')
    parser.add_argument('output', help='a directory; made if need be')
    parser.add_argument('--work', type=int, default=100, metavar='PERCENT', help='of 1e8 calls (default: %(default)s)')
    options = parser.parse_args()
    program = os.path.join(options.build, 'bench', 'classic', 'classic-lifetimes')
    if not os.access(program, os.X_OK):
        raise bench_programs.Failure(f'{program} is missing: build with -Dbench=enabled')
    os.makedirs(options.output, exist_ok=True)
    samples = {}
    for name, library in bench_programs.contenders(options.build).items():
        bench_programs.say(f'{name} ...')
        samples[name] = samples_of(program, library, options.work)
    write_csv(os.path.join(options.output, 'fragmentation.csv'), samples)
    draw(os.path.join(options.output, 'fragmentation.svg'), samples)
    print(table(samples))


if __name__ == '__main__':
    try:
        main()
    except (bench_programs.Failure, OSError) as error:
        sys.exit(f'fragmentation.py: {error}')
