#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
"""What the variants would take on more CPUs than there are, by a model of few constants: from the counts of
tools/count_rmw.sh (scaling.csv) and times at one and two threads (bench.csv of tools/bench.sh, or variants.csv of
tools/compare_variants.py). Fits the constants, says how well they give the times at two threads, each also with
constants that were fitted without it, and extrapolates. For n threads on n CPUs an operation takes

    alone(n) = t1 + r * (rmw(n) - rmw(1))              t1: measured at one thread
    flow(n)  = alone(n) + x * moved(n) + y * blocks(n)
    line(n)  = n * x * hottest(n)
    t(n)     = the larger of flow(n) and line(n)

where rmw are read-modify-writes per operation, moved cache lines of the allocator's that another CPU was the last to
write, blocks those of the workload's and of its blocks, hottest the moves of the line that moves most: it can be in one
place at a time. In oneway an operation is shared by two threads: half of alone and flow, and n/2 in place of n.

r is the slope of t1 over rmw(1) among the ways, within each workload. x and y minimize the sum of squared logarithms of
model / measured at two threads. No figure makes it fail. docs/variants.md names what is assumed."""
import argparse
import csv
import math
import os
import statistics
import sys

import bench_programs
import compare_variants

try:
    from scipy import optimize, stats
except ImportError:
    sys.exit(f'cost_model.py: needs scipy, which {sys.executable} does not have. With Debian: apt-get install '
             'python3-scipy, and /usr/bin/python3 tools/cost_model.py')

WAYS = compare_variants.WAYS
TITLE = 'millions of operations per second, all CPUs together, by number of CPUs'
UNTOUCHED = {'pair', 'batch'} # these never write to a block
# Lines of the workload's own that another CPU was the last to write, per operation: with n CPUs, one slot of common
# ones; a place in the ring, of which 8 fill a line, for either side.
OWN_MOVES = {'exchange': lambda n: (n - 1) / n, 'oneway': lambda n: 2 / 8 if n > 1 else 0}
# The simulation counts no write to a block; there are 128 per operation.
UNFITTED = {'falseshare'}
SHOWN = [1, 4, 16, 64, 256]
FAR_OFF, MOVING = 1.5, 1.05 # ratios


def read_counts(path):
    """(way, workload, CPUs) -> count -> per operation; calls do not overlap."""
    with open(path, newline='', encoding='ascii') as file:
        lines = list(csv.DictReader(file))
    if not lines or 'hottest_per_op' not in lines[0]:
        raise bench_programs.Failure(f'{path} holds no counts of tools/count_rmw.sh')
    return {(line['way'], line['workload'], int(line['cpus'])): {
        key[:-len('_per_op')]: float(value) for key, value in line.items() if key.endswith('_per_op')}
            for line in lines if line['overlap'] == '0'}


def read_times(path):
    """(way, workload, threads) -> ns"""
    with open(path, newline='', encoding='ascii') as file:
        lines = list(csv.DictReader(file))
    names = {'percpu': 'percpu-rseq'}
    samples = {}
    for line in lines:
        if line.get('metric') != 'ns_per_op':
            continue
        if 'allocator' in line:
            key = names.get(line['allocator'], line['allocator']), line['workload'], int(line['threads'])
            samples.setdefault(key, []).append(float(line['median']))
        elif line['measure'] == 'workload':
            workload, threads = line['case'].split()
            samples.setdefault((line['way'], workload, int(threads)), []).append(float(line['value']))
    times = {key: statistics.median(values) for key, values in samples.items() if key[0] in WAYS}
    if not times:
        raise bench_programs.Failure(f'{path} holds no times')
    return times


class Model:
    def __init__(self, counts, times):
        self.counts, self.times = counts, times
        rows = dict.fromkeys((way, workload) for way, workload, _ in counts)
        self.rows = [row for row in rows if (*row, 1) in times and (*row, 1) in counts]
        self.cells = [row for row in self.rows if (*row, 2) in times and (*row, 2) in counts]
        fitted = [row for row in self.cells if row[1] not in UNFITTED]
        if len(fitted) < 3:
            raise bench_programs.Failure('too few times at two threads that there are counts for')
        self.r = self.slope()
        self.constants = self.fit(fitted)
        self.cell_out = {row: self.fit([other for other in fitted if other != row]) for row in self.cells}
        self.workload_out = {row: self.fit([other for other in fitted if other[1] != row[1]]) for row in self.cells}

    def slope(self):
        rmws, times = [], [] # as deviations from the workload's mean
        for workload in {workload for _, workload in self.rows}:
            points = [(self.counts[(*row, 1)]['rmw'], self.times[(*row, 1)]) for row in self.rows if row[1] == workload]
            for values, all_values in zip(zip(*points), (rmws, times)):
                all_values += [value - statistics.mean(values) for value in values]
        return max(stats.linregress(rmws, times).slope, 0.0) if any(rmws) else 0.0

    def parts(self, row, n, constants):
        """flow, line"""
        x, y = constants
        way, workload = row
        count = self.counts[way, workload, n]
        alone = self.times[way, workload, 1] + self.r * (count['rmw'] - self.counts[way, workload, 1]['rmw'])
        blocks = (0 if workload in UNTOUCHED else count['blocks']) + OWN_MOVES.get(workload, lambda n: 0)(n)
        sides = 2 if workload == 'oneway' and n > 1 else 1
        return (alone + x * count['moved'] + y * blocks) / sides, n / sides * x * count['hottest']

    def at(self, row, n, constants=None):
        return max(self.parts(row, n, self.constants if constants is None else constants))

    def is_bound(self, row, n):
        flow, line = self.parts(row, n, self.constants)
        return line > flow

    def ratio(self, row, constants=None):
        return self.at(row, 2, constants) / self.times[(*row, 2)]

    def fit(self, rows):
        def residuals(constants):
            return [math.log(self.ratio(row, constants)) for row in rows]

        return tuple(optimize.least_squares(residuals, (40.0, 20.0), bounds=(0, math.inf)).x)

    def numbers(self):
        return sorted({n for _, _, n in self.counts})

    def throughput(self, row, n):
        """Millions of operations per second of all CPUs."""
        ns = self.times[(*row, n)] if n == 1 else self.at(row, n)
        return n / (2 if row[1] == 'oneway' and n > 1 else 1) * 1000 / ns


def percent(ratio):
    text = f'{100 * (ratio - 1):+.0f} %'
    return f'**{text}**' if max(ratio, 1 / ratio) > FAR_OFF else text


def typical(model, rows, constants=None):
    """The geometric mean of how far they are off, in either direction."""
    if not rows:
        return 'none'
    off = [abs(math.log(model.ratio(row, constants and constants[row]))) for row in rows]
    return f'{100 * (math.exp(statistics.mean(off)) - 1):.0f} %'


def fit_table(model):
    x, y = model.constants
    fitted = [row for row in model.cells if row[1] not in UNFITTED]
    moving = [row for row in fitted if model.at(row, 2) > MOVING * model.at(row, 2, (0, 0))]
    off = [row for row in fitted if max(model.ratio(row), 1 / model.ratio(row)) > FAR_OFF]
    yield (f'Fitted: r = {model.r:.1f} ns for a read-modify-write, x = {x:.1f} ns for a line of the allocator\'s '
           f'that moves, y = {y:.1f} ns for one of the workload\'s. Of the {len(fitted)} cells at two threads that are '
           f'fitted {len(off)} are off by more than a factor of {FAR_OFF:g} (bold). In {len(moving)} of them lines '
           f'move enough to matter; the typical error of these is {typical(model, moving)}, with the cell held out '
           f'{typical(model, moving, model.cell_out)}, with all cells of its workload held out '
           f'{typical(model, moving, model.workload_out)}. In the others the model says little more than that two '
           f'threads take what one takes: {typical(model, [row for row in fitted if row not in moving])}.')
    yield ''
    yield ('| ns per operation | measured, 1 thread | 2 threads | model, 2 threads | error | cell held out '
           '| workload held out |')
    yield '|---' * 7 + '|'
    for row in model.cells:
        way, workload = row
        note = ', not fitted' if workload in UNFITTED else ''
        yield (f'| {workload}, {way}{note} | {model.times[(*row, 1)]:.1f} | {model.times[(*row, 2)]:.1f} | '
               f'{model.at(row, 2):.1f} | {percent(model.ratio(row))} | '
               f'{percent(model.ratio(row, model.cell_out[row]))} | '
               f'{percent(model.ratio(row, model.workload_out[row]))} |')
    yield ''


def is_refuted(model, row):
    return row in model.cells and max(model.ratio(row), 1 / model.ratio(row)) > FAR_OFF


def extrapolation_table(model):
    numbers = [n for n in model.numbers() if n in SHOWN and n > 1]
    yield '| ns per operation, CPUs | 1, measured | ' + ' | '.join(map(str, numbers)) + ' |'
    yield '|---' * (len(numbers) + 2) + '|'
    for row in model.rows:
        cells = [f'{model.at(row, n):.{0 if model.at(row, n) >= 100 else 1}f}{" L" if model.is_bound(row, n) else ""}'
                 for n in numbers]
        if is_refuted(model, row):
            cells = ['not given by the model' if i == 0 else '' for i in range(len(numbers))]
        yield f'| {row[1]}, {row[0]} | {model.times[(*row, 1)]:.1f} | ' + ' | '.join(cells) + ' |'
    yield ''


def draw(model, path):
    workloads = list(dict.fromkeys(workload for _, workload in model.rows))
    lines = ["set terminal svg size 1000,700 dynamic background rgb 'white' font 'sans-serif,12'",
             f"set output '{path}'", f"set multiplot layout 2,3 title '{TITLE}'", 'set logscale xy',
             'set grid linecolor rgb "#dddddd"', 'set xtics (1, 4, 16, 64, 256)', 'set xrange [0.8:320]',
             'set key left top samplen 1']
    for at, workload in enumerate(workloads):
        plots = []
        for way in [way for way in WAYS if (way, workload) in model.rows and not is_refuted(model, (way, workload))]:
            row, name = (way, workload), f'${way.replace("-", "_")}_{at}'
            lines += [f'{name} << EOD', *(f'{n} {model.throughput(row, n):.4f}' for n in model.numbers()), 'EOD']
            color = f'linecolor rgb "{compare_variants.COLORS[way]}"'
            plots.append(f'{name} using 1:2 with lines linewidth 2 {color} title "{way if at == 0 else ""}"')
            measured = [n for n in (1, 2) if (*row, n) in model.times]
            sides = 2 if workload == 'oneway' else 1
            lines += [f'{name}m << EOD', *(f'{n} {n / (sides if n > 1 else 1) * 1000 / model.times[(*row, n)]:.4f}'
                                           for n in measured), 'EOD']
            plots.append(f'{name}m using 1:2 with points pointtype 7 pointsize 0.6 {color} notitle')
        lines += [f"set title '{workload}'", 'plot ' + ', '.join(plots)]
    compare_variants.run_gnuplot('\n'.join([*lines, 'unset multiplot', '']))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('counts', help='scaling.csv of tools/count_rmw.sh')
    parser.add_argument('times', help='bench.csv or variants.csv')
    parser.add_argument('--markdown', metavar='FILE', help='put the tables between the markers in there')
    parser.add_argument('--svg', metavar='FILE', help='draw there; needs gnuplot')
    options = parser.parse_args()
    model = Model(read_counts(options.counts), read_times(options.times))
    text = '\n'.join([*fit_table(model), *extrapolation_table(model)])
    print(text)
    if options.svg:
        draw(model, options.svg)
    if options.markdown:
        if options.svg:
            path = os.path.relpath(options.svg, os.path.dirname(os.path.abspath(options.markdown)))
            text += f'\n![{TITLE[0].upper() + TITLE[1:]}; points: measured]({path})\n'
        bench_programs.put_into(options.markdown, text, 'cost_model.py')


if __name__ == '__main__':
    try:
        main()
    except (bench_programs.Failure, OSError, ValueError, KeyError) as error:
        sys.exit(f'cost_model.py: {error}')
