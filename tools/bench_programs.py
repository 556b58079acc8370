#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
"""Measures whole programs with each allocator preloaded, in turn, so that what else the machine does meets all alike:
the classic allocator benchmarks of bench/classic and the real programs of tests/programs. Elapsed and CPU seconds and
peak resident memory, medians; as tables, CSV and SVG. No figure makes it fail, only a program that does.

Elapsed is the time in which at least one of a row's programs ran; scripts' own preparations do not count. Peak is that
of the largest process. A peer is an allocator that is not aomalloc; ratios are to the best one of the row."""
import argparse
import csv
import glob
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile

SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# name: arguments; the program is the part before the first dash.
CLASSIC = {'cache-scratch': ['scratch'], 'cache-thrash': [], 'growth': [], 'large': [], 'larson': [], 'mstress': [],
           'trees': [], 'xmalloc': []}
PEERS = {'glibc': None, 'mimalloc': 'libmimalloc.so.[0-9]', 'jemalloc': 'libjemalloc.so.[0-9]',
         'tcmalloc': 'libtcmalloc_minimal.so.[0-9]'}
LIBRARY_FOLDERS = ['/usr/local/lib', '/usr/local/lib/*', '/usr/lib/*', '/usr/lib64', '/usr/lib']
METRICS = {'elapsed': 's', 'cpu': 's', 'peak': 'MiB'}
SINGLE_THREADED = {'growth', 'large', 'trees', 'gcc', 'git', 'perl', 'sqlite'}
SKIPPED, TIMEOUT_SECONDS = 77, 300
COLORS = {'percpu': '#b2182b', 'base': '#ef8a62', 'glibc': '#888888', 'mimalloc': '#2166ac', 'jemalloc': '#67a9cf',
          'tcmalloc': '#35978f', 'perthread': '#f7c8a0'}


class Failure(Exception):
    pass


class Skip(Exception):
    pass


def say(text):
    print(f'bench_programs.py: {text}', file=sys.stderr, flush=True)


def real_programs():
    paths = glob.glob(os.path.join(SOURCE, 'tests', 'programs', 'program', '*.sh'))
    return sorted(os.path.basename(path)[:-3] for path in paths)


def is_preloadable(library):
    """The dynamic loader says so and goes on without a library that it cannot load, for instance another machine's."""
    told = subprocess.run(['/bin/true'], env={**os.environ, 'LD_PRELOAD': library}, capture_output=True, check=False)
    return told.returncode == 0 and b'LD_PRELOAD' not in told.stderr


def peer_library(pattern):
    for folder in LIBRARY_FOLDERS:
        for path in sorted(glob.glob(os.path.join(folder, pattern))):
            if is_preloadable(path):
                return path
    return None


def contenders(build):
    """Name -> library to preload; '' for the C library's malloc."""
    found = {}
    prefix = 'libaomalloc-preload-'
    for path in sorted(glob.glob(os.path.join(build, 'preload', prefix + '*.so'))):
        if not is_preloadable(path):
            raise Failure(f'{path} cannot be preloaded')
        found[os.path.basename(path)[len(prefix):-3]] = path
    if not found:
        raise Failure(f'no {prefix}*.so in {build}/preload: build with -Dpreload=enabled')
    for name, pattern in PEERS.items():
        library = peer_library(pattern) if pattern else ''
        if library is None:
            say(f'{name} is left out, {pattern} was not found: tools/install_deps.sh bench')
        else:
            found[name] = library
    return found


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def command_of(options, name, log, library):
    measure = os.path.join(options.build, 'bench', 'classic', 'measure')
    if name not in CLASSIC:
        return [os.path.join(SOURCE, 'tests', 'programs', 'program', name + '.sh')], f'{measure} {log} {library or "-"}'
    program = os.path.join(options.build, 'bench', 'classic', 'classic-' + name.split('-', maxsplit=1)[0])
    return [measure, log, library or '-', program, '--threads', str(options.threads), '--work', str(options.work),
            *CLASSIC[name]], ''


def end_group(process):
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def run(command, folder, environment):
    """Status and what it said. A group of its own, so that a server which a failed script left behind is ended."""
    with open(os.path.join(folder, 'log'), 'wb+') as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log,
                                   stderr=log, start_new_session=True)
        status = None
        try:
            status = process.wait(TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        finally: # also when interrupted
            if status != 0:
                end_group(process)
        log.seek(0)
        return status, log.read().decode(errors='replace')


def covered(intervals):
    """Seconds in which at least one of the intervals was open."""
    total, until = 0.0, float('-inf')
    for begin, end in sorted(intervals):
        total += max(0.0, end - max(begin, until))
        until = max(until, end)
    return total


def figures(log):
    try:
        with open(log, encoding='ascii') as file:
            lines = [[float(field) for field in line.split()] for line in file]
    except FileNotFoundError:
        raise Failure('no program was measured') from None
    return {'elapsed': covered([(line[0], line[1]) for line in lines]), 'cpu': sum(line[2] for line in lines),
            'peak': max(line[3] for line in lines) / 1024}


def measure(options, name, library, environment_more=None):
    """Figures, and what the program gave, which must be the same with every allocator."""
    with tempfile.TemporaryDirectory() as folder:
        log = os.path.join(folder, 'measured')
        command, prefix = command_of(options, name, log, library)
        dropped = ('LD_PRELOAD', 'AOMALLOC_STATS')
        environment = {key: value for key, value in os.environ.items() if key not in dropped}
        environment.update(environment_more or {}, RUN=prefix, SIZE=options.size, SOURCE=SOURCE, PORT=str(free_port()),
                           PYTHONDONTWRITEBYTECODE='1')
        status, said = run(command, folder, environment)
        if status == SKIPPED:
            raise Skip(said.strip())
        if status is None:
            raise Failure(f'not done after {TIMEOUT_SECONDS} s')
        if status != 0:
            raise Failure(f'status {status}\n{said[-2000:]}')
        return figures(log), said if name in CLASSIC else results(folder)


def results(folder):
    given = {}
    for path in sorted(glob.glob(os.path.join(folder, 'result', '*'))):
        with open(path, 'rb') as file:
            given[os.path.basename(path)] = file.read()
    return given


def measure_row(options, name, libraries):
    """Contender -> metric -> samples. Every round has each contender once, beginning with another one."""
    samples = {contender: {metric: [] for metric in METRICS} for contender in libraries}
    first = None
    order = list(libraries)
    for _ in range(options.repeat):
        for contender in order:
            try:
                values, given = measure(options, name, libraries[contender])
            except Failure as reason:
                raise Failure(f'with {contender}: {reason}') from None
            first = given if first is None else first
            if given != first:
                raise Failure(f'with {contender} it gives something else than with {list(libraries)[0]}')
            for metric, value in values.items():
                samples[contender][metric].append(value)
        order = order[1:] + order[:1]
    return samples


def measure_all(options, libraries):
    """Lines as in the CSV file, and the number of rows that failed."""
    lines, failed = [], 0
    for name in options.select:
        try:
            samples = measure_row(options, name, libraries)
        except Skip as reason:
            say(f'{name} is skipped: {reason}')
            continue
        except Failure as reason:
            say(f'{name} FAILED: {reason}')
            failed += 1
            continue
        except KeyboardInterrupt:
            say(f'interrupted in {name}; the rows before it are kept')
            failed += 1
            break
        for contender, metrics in samples.items():
            for metric, values in metrics.items():
                lines.append({'program': name, 'allocator': contender, 'metric': metric, 'unit': METRICS[metric],
                              'samples': len(values), 'median': f'{statistics.median(values):.4f}',
                              'min': f'{min(values):.4f}', 'max': f'{max(values):.4f}'})
        say(f'{name} ' + ' '.join(f'{contender} {statistics.median(metrics["elapsed"]):.2f}'
                                  for contender, metrics in samples.items()))
    return lines, failed


def read_csv(path):
    with open(path, newline='', encoding='utf-8') as file:
        lines = list(csv.DictReader(file))
    if not lines or not {'program', 'allocator', 'metric', 'median', 'min'} <= set(lines[0]):
        raise Failure(f'{path} holds no result of this program')
    return lines


def write_csv(lines, path):
    with open(path, 'w', newline='', encoding='utf-8') as file:
        writer = csv.DictWriter(file, list(lines[0]), lineterminator='\n')
        writer.writeheader()
        writer.writerows(lines)


class Results:
    """statistic: which column, median or min."""

    def __init__(self, lines, statistic='median'):
        self.rows = list(dict.fromkeys(line['program'] for line in lines))
        self.contenders = list(dict.fromkeys(line['allocator'] for line in lines))
        self.peers = [name for name in self.contenders if name in PEERS]
        self.values = {(line['program'], line['allocator'], line['metric']): float(line[statistic]) for line in lines}

    def ratios(self, contender, metric, rows=None, peers=None):
        """Row -> ratio to the best peer."""
        found = {}
        for row in rows or self.rows:
            best = min(self.values[row, peer, metric] for peer in peers or self.peers)
            found[row] = self.values[row, contender, metric] / best
        return found

    def mean(self, contender, metric):
        return statistics.geometric_mean(self.ratios(contender, metric).values())


def table(results, metric):
    heading = {'elapsed': 'elapsed, s', 'cpu': 'CPU, s', 'peak': 'peak resident, MiB'}[metric]
    yield f'| {heading} | ' + ' | '.join(results.contenders) + ' |'
    yield '|---' * (len(results.contenders) + 1) + '|'
    ratios = {contender: results.ratios(contender, metric) for contender in results.contenders}
    for row in results.rows:
        cells = [f'{results.values[row, contender, metric]:.{1 if metric == "peak" else 2}f} '
                 f'({ratios[contender][row]:.2f})' for contender in results.contenders]
        yield f'| {row} | ' + ' | '.join(cells) + ' |'
    means = [f'({results.mean(contender, metric):.2f})' for contender in results.contenders]
    yield '| geometric mean | ' + ' | '.join(means) + ' |'
    yield ''


def compared(results, least):
    """How far the aims are met; they are told, not asserted. least: the same of each row's shortest run."""
    if 'percpu' in results.contenders:
        for metric, title, source in (('elapsed', 'elapsed', results), ('cpu', 'CPU', results),
                                      ('elapsed', 'elapsed of the shortest runs', least)):
            ratios = source.ratios('percpu', metric)
            above = [f'{row} {ratio:.2f}' for row, ratio in ratios.items() if ratio > 1.25]
            yield (f'- percpu, {title}: {source.mean("percpu", metric):.2f} of the best peer (aim: 1.00); above '
                   f'1.25: {", ".join(above) or "none"}')
        yield f'- percpu, peak: {results.mean("percpu", "peak"):.2f} of the leanest peer (aim: 1.10)'
    rows = [row for row in results.rows if row in SINGLE_THREADED]
    if rows and {'base', 'glibc'} <= set(results.contenders):
        for metric in 'elapsed', 'cpu':
            ratios = results.ratios('base', metric, rows, ['glibc'])
            above = [f'{row} {ratio:.2f}' for row, ratio in ratios.items() if ratio > 1.1]
            yield f'- base, one thread, {metric}: above 1.10 of glibc: {", ".join(above) or "none"}'
    yield ''


def document(results, least):
    for metric in METRICS:
        yield from table(results, metric)
    yield from compared(results, least)


def picture(options):
    if not options.svg:
        return ''
    path = os.path.relpath(options.svg, os.path.dirname(os.path.abspath(options.markdown)))
    return f'\n![Time and memory of whole programs, divided by those of the best peer]({path})\n'


def put_into(path, text, part='bench_programs.py'):
    """Between the markers of the part."""
    begin, end = f'<!-- {part}: begin -->', f'<!-- {part}: end -->'
    with open(path, encoding='utf-8') as file:
        before, found, rest = file.read().partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise Failure(f'{path} lacks the lines {begin} and {end}')
    with open(path, 'w', encoding='utf-8') as file:
        file.write(f'{before}{begin}\n{text}\n{end}{after}')


def draw(results, path):
    if not shutil.which('gnuplot'):
        raise Failure('gnuplot is missing: tools/install_deps.sh bench')
    lines = ["set terminal svg size 1100,720 dynamic background rgb 'white' font 'sans-serif,12'",
             f"set output '{path}'", 'set style data histograms', 'set style histogram clustered gap 1',
             'set style fill solid 0.9 noborder', "set grid ytics linecolor rgb '#cccccc'", 'set logscale y 2',
             'set xtics rotate by -30 scale 0 noenhanced', 'set key outside top horizontal noenhanced',
             'set multiplot layout 2,1']
    for metric, title in ('elapsed', 'elapsed time'), ('peak', 'peak resident memory'):
        lines.append(f'${metric} << END')
        ratios = [results.ratios(contender, metric) for contender in results.contenders]
        lines += [' '.join([f'"{row}"', *(f'{column[row]:.4f}' for column in ratios)]) for row in results.rows]
        lines += ['END', f"set title '{title} / that of the best peer, logarithmic: less is better'"]
        lines.append('plot ' + ', '.join(
            f"${metric} using {column + 2}:xtic(1) linecolor rgb '{COLORS[name]}' title '{name}'"
            for column, name in enumerate(results.contenders)))
    subprocess.run(['gnuplot'], input='\n'.join([*lines, 'unset multiplot', '']), text=True, check=True)


def parsed():
    names = [*CLASSIC, *real_programs()]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', default='build-bench', help='build directory with bench and preload; %(default)s')
    parser.add_argument('--csv', metavar='FILE', help='write the figures there')
    parser.add_argument('--from-csv', metavar='FILE', help='measure nothing, take the figures from there')
    parser.add_argument('--svg', metavar='FILE', help='draw there; needs gnuplot')
    parser.add_argument('--markdown', metavar='FILE', help='put the tables between the markers in there')
    parser.add_argument('--repeat', type=int, default=5, help='measurements of each; %(default)s')
    parser.add_argument('--select', metavar='NAMES', help='comma between; all by default: ' + ', '.join(names))
    parser.add_argument('--allocators', metavar='NAMES', help='comma between; all that are there by default')
    parser.add_argument('--threads', type=int, default=4, help='of the classic programs; %(default)s')
    parser.add_argument('--work', type=int, default=100, help='of the classic programs, in percent; %(default)s')
    parser.add_argument('--size', choices=['short', 'bench', 'full'], default='bench',
                        help='of the real programs; %(default)s')
    options = parser.parse_args()
    options.build = os.path.abspath(options.build)
    options.select = options.select.split(',') if options.select else names
    unknown = [name for name in options.select if name not in names]
    if unknown:
        parser.error(f'no such program: {", ".join(unknown)}; there are {", ".join(names)}')
    if options.repeat < 1:
        parser.error('--repeat must be at least 1')
    return options


def chosen(options):
    libraries = contenders(options.build)
    if not os.path.exists(os.path.join(options.build, 'bench', 'classic', 'measure')):
        raise Failure(f'no bench/classic/measure in {options.build}: build with -Dbench=enabled')
    if not options.allocators:
        return libraries
    names = options.allocators.split(',')
    missing = [name for name in names if name not in libraries]
    if missing:
        raise Failure(f'not there: {", ".join(missing)}; there are {", ".join(libraries)}')
    return {name: libraries[name] for name in names}


def work(options):
    if options.from_csv:
        lines, failed = read_csv(options.from_csv), 0
    else:
        lines, failed = measure_all(options, chosen(options))
    if not lines:
        raise Failure('nothing was measured')
    if options.csv:
        write_csv(lines, options.csv)
    results = Results(lines)
    if not results.peers:
        raise Failure('without a peer there is nothing to compare with; the figures are in the CSV file, if named')
    text = '\n'.join(document(results, Results(lines, 'min')))
    print(text)
    if options.svg:
        draw(results, options.svg)
    if options.markdown:
        put_into(options.markdown, text + picture(options))
    return 1 if failed else 0


def main():
    try:
        return work(parsed())
    except (Failure, OSError, subprocess.CalledProcessError) as reason:
        say(reason)
        return 1


if __name__ == '__main__':
    sys.exit(main())
