#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
"""Compares the variants of the library, percpu also without restartable sequences: the workloads of bench/worker, and
bench/variants (many idle threads, threads that start and end, handlers under a storm of signals). Each measurement is a
process of its own; all variants in turn, so that what else the machine does meets all alike; medians. Writes
variants.csv and, with gnuplot, variants_*.svg into OUTPUT, and prints tables in Markdown. What is in variants.csv
already and not selected is kept, so that a comparison can be made in parts."""
import argparse
import csv
import os
import statistics
import subprocess
import sys

import bench_programs

RSEQ_OFF = {'GLIBC_TUNABLES': 'glibc.pthread.rseq=0'}
# name: variant, environment, what AO_malloc_mode() begins with
WAYS = {'base': ('base', {}, 'cas'), 'percpu-cas': ('percpu', RSEQ_OFF, 'cas'), 'percpu-rseq': ('percpu', {}, 'rseq'),
        'perthread': ('perthread', {}, 'tls')}
COLORS = {'base': '#ef8a62', 'percpu-cas': '#67a9cf', 'percpu-rseq': '#b2182b', 'perthread': '#2166ac'}
WORKLOADS = ['pair', 'batch', 'churn', 'exchange', 'oneway', 'phases']
WORKLOAD_THREADS, STORM_STARTERS = [1, 2, 4, 8], [1, 4, 16]
STORM_THREADS = 2000 # in all
FIFO_PRIORITY = 10
QUANTILES = ['p50', 'p90', 'p99', 'p99.9', 'p99.99', 'max']
SELECTABLE = ['workload', 'idle', 'storm', 'handler']


class Figures(dict):
    """(measure, case, way, metric) -> values of the rounds"""

    def median(self, measure, case, way, metric):
        return statistics.median(self[measure, case, way, metric])

    def cases(self, measure):
        return list(dict.fromkeys(key[1] for key in self if key[0] == measure))

    def ways(self, measure):
        return [way for way in WAYS if any(key[0] == measure and key[2] == way for key in self)]


def cases_of(options):
    """Measure, case, program, arguments."""
    for name in WORKLOADS:
        for threads in WORKLOAD_THREADS:
            yield 'workload', f'{name} {threads}', 'worker', [
                '--workload', name, '--threads', str(threads), '--time', str(options.time)]
    for threads in options.idle:
        yield 'idle', threads, 'variants', ['idle', '--threads', threads]
    for starters in STORM_STARTERS:
        rounds = str(STORM_THREADS // starters)
        yield 'storm', str(starters), 'variants', ['storm', '--threads', str(starters), '--rounds', rounds]
    for fifo in [], ['--fifo', str(FIFO_PRIORITY)]:
        for beside in 0, 3:
            yield 'handler', f'{"SCHED_FIFO" if fifo else "ordinary"}, {beside} beside', 'variants', [
                'handler', '--threads', str(beside + 1), '--rounds', str(options.signals), *fifo]


def run(options, way, program, arguments):
    variant, environment, mode = WAYS[way]
    command = [os.path.join(options.build, 'bench', f'bench-{program}-{variant}'), *arguments]
    told = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    if told.returncode != 0:
        raise bench_programs.Failure(f'{" ".join(command)}: status {told.returncode}\n{told.stderr}')
    pairs = dict(pair.split('=') for pair in told.stdout.split())
    if pairs.pop('mode', mode).rstrip(':') != mode:
        raise bench_programs.Failure(f'{way} is not to be had here: see AO_malloc_mode(3)')
    if '--fifo' in arguments and pairs['fifo'] != '1':
        return {} # not permitted
    for name in 'variant', 'library', 'fifo', 'ops':
        pairs.pop(name, None)
    return {metric: float(value) for metric, value in pairs.items()}


def measure(options, figures, path):
    for case in [case for case in cases_of(options) if case[0] in options.select]:
        for key in [key for key in figures if key[:2] == case[:2]]: # an older run's
            del figures[key]
        bench_programs.say(' '.join(case[:2]))
        for number in range(options.rounds):
            order = list(WAYS)[number % len(WAYS):] + list(WAYS)[:number % len(WAYS)]
            for way in order:
                for metric, value in run(options, way, *case[2:]).items():
                    figures.setdefault((*case[:2], way, metric), []).append(value)
        write_csv(path, figures)


def read_csv(path, figures):
    if os.path.exists(path):
        with open(path, newline='', encoding='ascii') as file:
            for *key, value in list(csv.reader(file))[1:]:
                figures.setdefault(tuple(key), []).append(float(value))


def write_csv(path, figures):
    with open(path, 'w', newline='', encoding='ascii') as file:
        writer = csv.writer(file, lineterminator='\n')
        writer.writerow(['measure', 'case', 'way', 'metric', 'value'])
        writer.writerows((*key, f'{value:g}') for key, values in figures.items() for value in values)


def shown(value):
    return f'{value:.1f}' if abs(value) < 100 else f'{value:.0f}'


def table(figures, kind, title, metric, text):
    """A row for each case that has the metric, text(case, way, median)."""
    ways = figures.ways(kind)
    yield f'| {title} | ' + ' | '.join(ways) + ' |'
    yield '|---' * (len(ways) + 1) + '|'
    for case in figures.cases(kind):
        if all((kind, case, way, metric) in figures for way in ways):
            yield f'| {case} | ' + ' | '.join(
                text(case, way, figures.median(kind, case, way, metric)) for way in ways) + ' |'
    yield ''


def with_ratio(figures, kind, metric):
    """The figure and, but for base, its ratio to base."""
    def text(case, way, value):
        base = figures.median(kind, case, 'base', metric)
        return shown(value) if way == 'base' or base <= 0 else f'{shown(value)} ({value / base:.2f})'
    return text


def handler_table(figures):
    ways = figures.ways('handler')
    yield '| ns | ' + ' | '.join(QUANTILES) + ' |'
    yield '|---' * (len(QUANTILES) + 1) + '|'
    for case in figures.cases('handler'):
        for what in 'pair', 'nothing':
            for way in ways:
                if ('handler', case, way, f'{what}_max') in figures:
                    values = [figures.median('handler', case, way, f'{what}_{point}') for point in QUANTILES]
                    name = way if what == 'pair' else f'nothing, with {way}'
                    yield f'| {case}: {name} | ' + ' | '.join(f'{value:.0f}' for value in values) + ' |'
    yield ''


def document(figures):
    if figures.ways('workload'):
        for title, metric in ('ns per operation, threads', 'ns_per_op'), ('resident KiB when all is freed', 'end_kib'):
            yield from table(figures, 'workload', title, metric, with_ratio(figures, 'workload', metric))
    for title, metric in (('idle threads: KiB per thread', 'idle_kib'), ('the same after trim', 'trimmed_kib')):
        if figures.ways('idle'):
            yield from table(figures, 'idle', title, metric, lambda case, way, kib: f'{kib / int(case):.2f}')
    for title, metric in ('starters: µs per thread', 'ns_per_thread'), ('resident KiB at the end', 'end_kib'):
        if figures.ways('storm'):
            per = 1000 if metric.startswith('ns') else 1
            yield from table(figures, 'storm', title, metric, lambda case, way, value, per=per: shown(value / per))
    if figures.ways('handler'):
        yield from handler_table(figures)


def gnuplot(path, settings, columns):
    """columns: way -> lines of x, y and what stands at x."""
    blocks = [f'${way.replace("-", "_")} << EOD\n{points}\nEOD' for way, points in columns.items()]
    plots = [f'${way.replace("-", "_")} using 1:2:xtic(3) with linespoints linewidth 2 pointtype 7 pointsize 0.6 '
             f'linecolor rgb "{COLORS[way]}" title "{way}"' for way in columns]
    script = '\n'.join([
        *blocks, 'set terminal svg size 760,400 dynamic background rgb "white" font "sans-serif,12"',
        f'set output "{path}"', 'set key outside right', 'set grid ytics linecolor rgb "#dddddd"', *settings,
        'plot ' + ', '.join(plots)])
    try:
        subprocess.run(['gnuplot'], input=script, text=True, check=True)
    except FileNotFoundError as error:
        raise bench_programs.Failure('gnuplot is missing: tools/install_deps.sh bench') from error


def draw(output, figures):
    if figures.ways('idle'):
        gnuplot(os.path.join(output, 'variants_idle.svg'),
                ['set logscale xy', 'set xlabel "threads that are idle"', 'set ylabel "KiB per thread"'],
                {way: '\n'.join(f'{case} {max(figures.median("idle", case, way, "idle_kib"), 1) / int(case):.3f} {case}'
                                for case in figures.cases('idle')) for way in figures.ways('idle')})
    for case in figures.cases('handler'):
        name = case.replace(', ', '_').replace(' ', '_').lower()
        gnuplot(os.path.join(output, f'variants_handler_{name}.svg'),
                ['set logscale y', f'set title "malloc and free in a handler, {case}"', 'set ylabel "ns"',
                 'set xrange [-0.2:5.2]'],
                {way: '\n'.join(f'{number} {figures.median("handler", case, way, f"pair_{point}")} {point}'
                                for number, point in enumerate(QUANTILES)) for way in figures.ways('handler')})
    for name in WORKLOADS:
        counts = [n for n in WORKLOAD_THREADS if f'{name} {n}' in figures.cases('workload')]
        if not counts:
            continue
        gnuplot(os.path.join(output, f'variants_{name}.svg'),
                ['set logscale xy', f'set title "{name}"', 'set xlabel "threads"', 'set ylabel "ns per operation"'],
                {way: '\n'.join(f'{n} {figures.median("workload", f"{name} {n}", way, "ns_per_op")} {n}'
                                for n in counts) for way in figures.ways('workload')})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('build', help='a build directory with -Dbench=enabled')
    parser.add_argument('output', help='a directory; made if need be')
    parser.add_argument('--select', default=','.join(SELECTABLE), help='comma between (default: %(default)s)')
    parser.add_argument('--rounds', type=int, default=5, help='measurements of each (default: %(default)s)')
    parser.add_argument('--time', type=int, default=200, metavar='MS', help='of a workload (default: %(default)s)')
    parser.add_argument('--signals', type=int, default=50000, help='of a storm (default: %(default)s)')
    parser.add_argument('--idle', default='10,100,1000', metavar='LIST', help='of threads (default: %(default)s)')
    parser.add_argument('--from-csv', action='store_true', help='measure nothing, tables and pictures only')
    options = parser.parse_args()
    options.idle = options.idle.split(',')
    options.select = [] if options.from_csv else options.select.split(',')
    if any(name not in SELECTABLE for name in options.select):
        parser.error(f'there are {", ".join(SELECTABLE)}')
    os.makedirs(options.output, exist_ok=True)
    path = os.path.join(options.output, 'variants.csv')
    figures = Figures()
    read_csv(path, figures)
    measure(options, figures, path)
    draw(options.output, figures)
    print('\n'.join(document(figures)))


if __name__ == '__main__':
    try:
        main()
    except (bench_programs.Failure, OSError) as error:
        sys.exit(f'compare_variants.py: {error}')
