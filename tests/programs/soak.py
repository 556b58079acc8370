#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
"""A long mixed run: servers and a busy process, each without and with aomalloc of each variant, all at once. Their
resident memory is sampled, written as CSV and drawn; that of aomalloc must not drift: its mean in the last quarter of
the time may exceed that in the second one by a tenth and 2 MiB."""
import argparse
import csv
import os
import shutil
import subprocess
import sys
import tempfile
import time

import test_programs

HERE = os.path.dirname(os.path.abspath(__file__))
PLAIN = 'plain'
DRIFT_FACTOR, DRIFT_MIB = 1.1, 2


def programs():
    return sorted(name[:-3] for name in os.listdir(os.path.join(HERE, 'soak')) if name.endswith('.sh'))


def resident_mib(pid):
    """Of a process and the children that stay: nginx's workers, but not what a server forks to save its data."""
    total = 0
    with open(f'/proc/{pid}/task/{pid}/children', encoding='ascii') as file:
        children = file.read().split()
    with open(f'/proc/{pid}/statm', encoding='ascii') as file:
        total += int(file.read().split()[1])
    with open(f'/proc/{pid}/comm', encoding='ascii') as file:
        if file.read().strip() != 'nginx':
            children = []
    for child in children:
        with open(f'/proc/{child}/statm', encoding='ascii') as file:
            total += int(file.read().split()[1])
    return total * os.sysconf('SC_PAGESIZE') / (1 << 20)


class Run:
    def __init__(self, options, folder, program, malloc):
        self.program, self.malloc, self.samples = program, malloc, []
        self.folder = os.path.join(folder, program, malloc)
        os.makedirs(self.folder)
        environment = {key: value for key, value in os.environ.items() if key not in ('LD_PRELOAD', 'AOMALLOC_STATS')}
        environment.update(RUN='' if malloc == PLAIN else f'{options.command} --variant {malloc}', SIZE='full',
                           SOURCE='', PORT=str(test_programs.free_port()), PYTHONDONTWRITEBYTECODE='1')
        self.log = open(os.path.join(self.folder, 'log'), 'wb+')
        self.process = subprocess.Popen([os.path.join(HERE, 'soak', program + '.sh')], cwd=self.folder, env=environment,
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
                                        start_new_session=True)

    def text(self):
        self.log.seek(0)
        return self.log.read().decode(errors='replace')

    def sample(self):
        if self.process.poll() is not None:
            raise test_programs.Failure(f'{self.program} under {self.malloc} ended: status '
                                        f'{self.process.returncode}\n{self.text()}')
        try:
            with open(os.path.join(self.folder, 'pid'), encoding='ascii') as file:
                self.samples.append(resident_mib(int(file.read())))
        except (FileNotFoundError, ValueError, ProcessLookupError):
            self.samples.append(None) # not there yet, or a child that has just gone

    def preloaded(self):
        with open(os.path.join(self.folder, 'pid'), encoding='ascii') as file:
            with open(f'/proc/{file.read().strip()}/maps', encoding='utf-8') as maps:
                return f'libaomalloc-preload-{self.malloc}.so' in maps.read()

    def mean(self, quarter):
        part = self.samples[len(self.samples) * (quarter - 1) // 4:len(self.samples) * quarter // 4]
        part = [sample for sample in part if sample is not None]
        if not part:
            raise test_programs.Failure(f'{self.program} under {self.malloc} was not there in quarter {quarter}')
        return sum(part) / len(part)

    def end(self):
        test_programs.end_group(self.process.pid)
        self.process.wait()
        self.log.close()


def write_csv(runs, path):
    with open(path, 'w', encoding='ascii', newline='') as file:
        writer = csv.writer(file, lineterminator='\n')
        writer.writerow(['program', 'malloc', 'second', 'resident_mib'])
        for run in runs:
            for second, sample in enumerate(run.samples):
                if sample is not None:
                    writer.writerow([run.program, run.malloc, second, f'{sample:.2f}'])


def draw(runs, path):
    names = sorted({run.program for run in runs})
    lines = ['set terminal svg size 900,' + str(300 * len(names)), f'set output "{path}"',
             f'set multiplot layout {len(names)},1', 'set xlabel "seconds"', 'set ylabel "resident MiB"',
             'set yrange [0:*]', 'set key outside right']
    colors = {PLAIN: '#888888', 'base': '#ef8a62', 'percpu': '#b2182b'}
    for name in names:
        shown = [run for run in runs if run.program == name]
        for run in shown:
            lines.append(f'${name}_{run.malloc} << END')
            lines += [f'{second} {sample:.2f}' for second, sample in enumerate(run.samples) if sample is not None]
            lines.append('END')
        lines.append(f'set title "{name}"')
        lines.append('plot ' + ', '.join(
            f'${name}_{run.malloc} with lines linecolor rgb "{colors.get(run.malloc, "#2166ac")}" title "{run.malloc}"'
            for run in shown))
    subprocess.run(['gnuplot'], input='\n'.join(lines) + '\n', text=True, check=True)


def watch(runs, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(1)
        for run in runs:
            run.sample()
    for run in runs:
        if run.malloc != PLAIN and not run.preloaded():
            raise test_programs.Failure(f'{run.program} has no aomalloc under it')


def judge(runs):
    failed = 0
    print(f'{"program":8} {"malloc":8} {"2nd quarter":>12} {"4th quarter":>12}  MiB')
    for run in runs:
        early, late = run.mean(2), run.mean(4)
        drifts = run.malloc != PLAIN and late > early * DRIFT_FACTOR + DRIFT_MIB
        failed += drifts
        print(f'{run.program:8} {run.malloc:8} {early:12.1f} {late:12.1f}  {"DRIFTS" if drifts else ""}')
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--command', required=True, help='aomalloc-run')
    parser.add_argument('--variants', nargs='+', required=True)
    parser.add_argument('--seconds', type=int, default=600)
    parser.add_argument('--output', required=True, help='folder for soak.csv and soak.svg')
    parser.add_argument('--program', nargs='+', default=programs(), choices=programs())
    options = parser.parse_args()
    options.command = os.path.abspath(options.command)
    os.makedirs(options.output, exist_ok=True)
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            for program in options.program:
                for malloc in [PLAIN, *options.variants]:
                    runs.append(Run(options, folder, program, malloc))
            watch(runs, options.seconds)
        except test_programs.Failure as reason:
            print(f'soak: {reason}')
            return 1
        finally:
            for run in runs:
                run.end()
    write_csv(runs, os.path.join(options.output, 'soak.csv'))
    if shutil.which('gnuplot'):
        draw(runs, os.path.join(options.output, 'soak.svg'))
    return 1 if judge(runs) else 0


if __name__ == '__main__':
    sys.exit(main())
