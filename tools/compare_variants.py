#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
"""Compares the variants of the library, percpu also without restartable sequences: the workloads of bench/worker,
bench/variants (chains of producers and consumers, many idle threads, threads that start and end, handlers under a storm
of signals), and whole programs with the library preloaded (bench_programs.py). Each measurement is a process of its
own; all variants in turn, so that what else the machine does meets all alike; medians. Writes variants.csv and, with
gnuplot, variants_*.svg into OUTPUT, and prints tables in Markdown. What is in variants.csv already and not selected is
kept, so that a comparison can be made in parts.

--markdown FILE puts each table between its markers there, <!-- compare_variants.py workload: begin --> and end, and
the pictures beside FILE."""
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
WORKLOAD_THREADS, CHAIN_STAGES, STORM_STARTERS = [1, 2, 4, 8], [2, 3, 4, 8], [1, 4, 16]
CHAIN_BLOCKS = 300000
STORM_THREADS = 2000 # in all
FIFO_PRIORITY = 10
PROGRAM_THREADS, PROGRAM_WORK, PROGRAM_SIZE = 4, 50, 'short' # bench_programs.py: --threads, --work, --size
QUANTILES = ['p50', 'p90', 'p99', 'p99.9', 'p99.99', 'max']
SELECTABLE = ['workload', 'chain', 'idle', 'storm', 'handler', 'programs']
ROUNDS_MAX = {'idle': 3, 'handler': 3, 'programs': 3} # long ones


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
    for stages in CHAIN_STAGES:
        yield 'chain', str(stages), 'variants', [
            'chain', '--threads', str(stages), '--rounds', str(CHAIN_BLOCKS // stages)]
    for threads in options.idle:
        yield 'idle', threads, 'variants', ['idle', '--threads', threads]
    for starters in STORM_STARTERS:
        for times in 1, 10:
            rounds = str(times * STORM_THREADS // starters)
            yield 'storm', f'{starters}, {times * STORM_THREADS} threads', 'variants', [
                'storm', '--threads', str(starters), '--rounds', rounds]
    for fifo in [], ['--fifo', str(FIFO_PRIORITY)]:
        for beside in 0, 3:
            yield 'handler', f'{"SCHED_FIFO" if fifo else "ordinary"}, {beside} beside', 'variants', [
                'handler', '--threads', str(beside + 1), '--rounds', str(options.signals), *fifo]
    for name in options.programs:
        yield 'programs', name, None, None


def run_program(options, way, name):
    variant, environment, _ = WAYS[way]
    library = os.path.join(options.build, 'preload', f'libaomalloc-preload-{variant}.so')
    if not bench_programs.is_preloadable(library):
        raise bench_programs.Failure(f'{library} cannot be preloaded: build with -Dpreload=enabled')
    values, _ = bench_programs.measure(options, name, library, environment)
    return values


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
        try:
            for number in range(min(options.rounds, ROUNDS_MAX.get(case[0], options.rounds))):
                order = list(WAYS)[number % len(WAYS):] + list(WAYS)[:number % len(WAYS)]
                for way in order:
                    told = run(options, way, *case[2:]) if case[2] else run_program(options, way, case[1])
                    for metric, value in told.items():
                        figures.setdefault((*case[:2], way, metric), []).append(value)
        except bench_programs.Skip as reason:
            bench_programs.say(f'{case[1]} is skipped: {reason}')
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


def with_ratio(figures, kind, metric, per=1):
    """The figure and, but for base, its ratio to base."""
    def text(case, way, value):
        base = figures.median(kind, case, 'base', metric)
        return shown(value / per) if way == 'base' or base <= 0 else f'{shown(value / per)} ({value / base:.2f})'
    return text


def program_text(figures, metric):
    """Two digits after the point for seconds."""
    def text(case, way, value):
        base = figures.median('programs', case, 'base', metric)
        digits = 1 if metric == 'peak' else 2
        return f'{value:.{digits}f}' + ('' if way == 'base' else f' ({value / base:.2f})')
    return text


def means(figures, metric, title, cases):
    """A row of geometric means of the ratios to base."""
    ways = figures.ways('programs')
    cells = [statistics.geometric_mean(figures.median('programs', case, way, metric) /
                                       figures.median('programs', case, 'base', metric)
                                       for case in cases) for way in ways]
    return f'| {title} | ' + ' | '.join(f'({cell:.2f})' if way != 'base' else '' for way, cell in
                                              zip(ways, cells)) + ' |'


def workload_tables(figures):
    yield from table(figures, 'workload', 'ns per operation: workload, threads', 'ns_per_op',
                     with_ratio(figures, 'workload', 'ns_per_op'))
    yield from table(figures, 'workload', 'most KiB resident above the start', 'peak_kib',
                     with_ratio(figures, 'workload', 'peak_kib'))
    yield from table(figures, 'workload', 'resident KiB when all is freed', 'end_kib',
                     with_ratio(figures, 'workload', 'end_kib'))
    for name in WORKLOADS:
        yield from picture(name, f'variants_{name}')


def chain_tables(figures):
    yield from table(figures, 'chain', 'stages: ns per block', 'ns_per_block',
                     with_ratio(figures, 'chain', 'ns_per_block'))
    yield from table(figures, 'chain', 'resident KiB at the end', 'end_kib', with_ratio(figures, 'chain', 'end_kib'))


def idle_tables(figures):
    for title, metric in (('KiB per thread, threads', 'idle_kib'), ('the same after trim, threads', 'trimmed_kib')):
        yield from table(figures, 'idle', title, metric, lambda case, way, kib: f'{kib / int(case):.2f}')
    yield from picture('KiB per thread that is idle', 'variants_idle')


def storm_tables(figures):
    yield from table(figures, 'storm', 'starters: µs per thread', 'ns_per_thread',
                     with_ratio(figures, 'storm', 'ns_per_thread', 1000))
    yield from table(figures, 'storm', 'resident KiB at the end', 'end_kib', with_ratio(figures, 'storm', 'end_kib'))
    yield from table(figures, 'storm', 'the same after trim', 'trimmed_kib',
                     with_ratio(figures, 'storm', 'trimmed_kib'))


def handler_tables(figures):
    ways = figures.ways('handler')
    cases = [case for case in figures.cases('handler') if ('handler', case, ways[0], 'pair_max') in figures]
    yield '| ns | ' + ' | '.join(QUANTILES) + ' |'
    yield '|---' * (len(QUANTILES) + 1) + '|'
    for case in cases:
        for name, of, what in [*((way, [way], 'pair') for way in ways), ('nothing', ways, 'nothing')]:
            samples = [[value for one in of for value in figures['handler', case, one, f'{what}_{point}']]
                       for point in QUANTILES]
            values = [statistics.median(sample) for sample in samples]
            yield f'| {case}: {name} | ' + ' | '.join(f'{value:.0f}' for value in values) + ' |'
    yield ''
    for case in cases:
        yield from picture(f'malloc and free in a handler, {case}', f'variants_handler_{file_part(case)}')


def programs_tables(figures):
    for title, metric in (('elapsed s', 'elapsed'), ('peak resident MiB', 'peak')):
        *lines, end = table(figures, 'programs', title, metric, program_text(figures, metric))
        yield from lines
        cases = figures.cases('programs')
        yield means(figures, metric, 'geometric mean', cases)
        real = [case for case in cases if case not in bench_programs.CLASSIC]
        if real:
            yield means(figures, metric, 'of real programs', real)
        yield end


TABLES = {'workload': workload_tables, 'chain': chain_tables, 'idle': idle_tables, 'storm': storm_tables,
          'handler': handler_tables, 'programs': programs_tables}


def picture(title, name):
    yield f'![{title}]({name}.svg)'
    yield ''


def file_part(case):
    return case.replace(', ', '_').replace(' ', '_').lower()


def tell(options, figures):
    for kind in SELECTABLE:
        if figures.ways(kind):
            text = '\n'.join(TABLES[kind](figures))
            print(text)
            if options.markdown:
                bench_programs.put_into(options.markdown, text, f'compare_variants.py {kind}')


def run_gnuplot(script):
    try:
        subprocess.run(['gnuplot'], input=script, text=True, check=True)
    except FileNotFoundError as error:
        raise bench_programs.Failure('gnuplot is missing: tools/install_deps.sh bench') from error


def gnuplot(path, settings, columns):
    """columns: way -> lines of x, y and what stands at x."""
    blocks = [f'${way.replace("-", "_")} << EOD\n{points}\nEOD' for way, points in columns.items()]
    plots = [f'${way.replace("-", "_")} using 1:2:xtic(3) with linespoints linewidth 2 pointtype 7 pointsize 0.6 '
             f'linecolor rgb "{COLORS[way]}" title "{way}"' for way in columns]
    script = '\n'.join([
        *blocks, 'set terminal svg size 760,400 dynamic background rgb "white" font "sans-serif,12"',
        f'set output "{path}"', 'set key outside right', 'set grid ytics linecolor rgb "#dddddd"', *settings,
        'plot ' + ', '.join(plots)])
    run_gnuplot(script)


def draw(output, figures):
    if figures.ways('idle'):
        gnuplot(os.path.join(output, 'variants_idle.svg'),
                ['set logscale xy', 'set xlabel "threads that are idle"', 'set ylabel "KiB per thread"'],
                {way: '\n'.join(f'{case} {max(figures.median("idle", case, way, "idle_kib"), 1) / int(case):.3f} {case}'
                                for case in figures.cases('idle')) for way in figures.ways('idle')})
    for case in figures.cases('handler'):
        if ('handler', case, 'base', 'pair_max') not in figures:
            continue
        gnuplot(os.path.join(output, f'variants_handler_{file_part(case)}.svg'),
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
    parser.add_argument('--rounds', type=int, default=5,
                        help='measurements of each, at most 3 of idle, handler and programs (default: %(default)s)')
    parser.add_argument('--time', type=int, default=200, metavar='MS', help='of a workload (default: %(default)s)')
    parser.add_argument('--signals', type=int, default=30000, help='of a storm (default: %(default)s)')
    parser.add_argument('--idle', default='10,100,1000,10000', metavar='LIST', help='of threads (default: %(default)s)')
    programs = [*bench_programs.CLASSIC, *bench_programs.real_programs()]
    parser.add_argument('--programs', metavar='LIST', help='all by default: ' + ', '.join(programs))
    parser.add_argument('--markdown', metavar='FILE', help='put the tables between the markers in there')
    parser.add_argument('--from-csv', action='store_true', help='measure nothing, tables and pictures only')
    options = parser.parse_args()
    options.build = os.path.abspath(options.build)
    options.idle = options.idle.split(',')
    options.programs = options.programs.split(',') if options.programs else programs
    options.threads, options.work, options.size = PROGRAM_THREADS, PROGRAM_WORK, PROGRAM_SIZE
    if any(name not in programs for name in options.programs):
        parser.error(f'there are {", ".join(programs)}')
    options.select = [] if options.from_csv else options.select.split(',')
    if any(name not in SELECTABLE for name in options.select):
        parser.error(f'there are {", ".join(SELECTABLE)}')
    os.makedirs(options.output, exist_ok=True)
    path = os.path.join(options.output, 'variants.csv')
    figures = Figures()
    read_csv(path, figures)
    measure(options, figures, path)
    draw(os.path.dirname(options.markdown) or '.' if options.markdown else options.output, figures)
    tell(options, figures)


if __name__ == '__main__':
    try:
        main()
    except (bench_programs.Failure, OSError) as error:
        sys.exit(f'compare_variants.py: {error}')
