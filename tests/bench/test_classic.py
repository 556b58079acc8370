#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
"""A classic program of bench/classic, with little work: as it is and under each variant. It checks the content of its
blocks itself; here, what it counted must be the same everywhere, and aomalloc must have been under it. Without
--program, measure is tested: the status, the signal and the figures that it passes on."""
import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

LINE = re.compile(r'^[a-z-]+: blocks=([1-9]\d*) bytes=([1-9]\d*)$')


def require(condition, what):
    if not condition:
        sys.exit(f'FAILED: {what}')


def counted(command, **environment):
    told = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    require(told.returncode == 0, f'{command}: status {told.returncode}\n{told.stderr}')
    require(LINE.match(told.stdout.strip()), f'{command}: says {told.stdout!r}')
    return told.stdout, told.stderr


def test_program(options):
    command = [options.program, '--threads', str(options.threads), '--work', str(options.work), *options.mode]
    plain, _ = counted(command)
    for library in options.libraries:
        variant = re.search(r'libaomalloc-preload-(\w+)\.so$', library).group(1)
        line, stats = counted(command, LD_PRELOAD=library, AOMALLOC_STATS='1')
        require(line == plain, f'{variant}: {line!r}, and without it {plain!r}')
        require(f': variant={variant} ' in stats, f'{variant} was not under it: {stats!r}')
        print(f'{variant}: {line.strip()}')


def measured(options, *command):
    """Status and figures: begin, end, CPU seconds, KiB."""
    with tempfile.TemporaryDirectory() as folder:
        log = os.path.join(folder, 'log')
        status = subprocess.run([options.measure, log, *command], check=False).returncode
        with open(log, encoding='ascii') as file:
            lines = file.read().splitlines()
    require(len(lines) == 1, f'{command}: lines {lines}')
    return status, [float(field) for field in lines[0].split()]


def test_figures(options):
    status, (begin, end, cpu, peak) = measured(options, '-', 'sh', '-c', 'sleep 0.2; exit 3')
    require(status == 3, f'the status is {status}')
    require(0.2 <= end - begin and cpu < end - begin, f'from {begin} to {end}, CPU {cpu}')
    require(0 < peak < 8 * 1024, f'a shell has {peak} KiB')
    status, (_, _, _, peak) = measured(options, '-', sys.executable, '-c', 'bytearray(b"x") * (64 << 20)')
    require(status == 0 and 64 * 1024 < peak < 128 * 1024, f'64 MiB are {peak} KiB')


def test_preload(options):
    for library in options.libraries:
        status, _ = measured(options, library, 'sh', '-c', 'grep -q "$0" /proc/self/maps', library)
        require(status == 0, f'{library} was not preloaded')


def test_signal(options):
    with tempfile.TemporaryDirectory() as folder:
        script = 'trap "exit 5" TERM; touch ready; for _ in $(seq 200); do sleep 0.05; done'
        with subprocess.Popen([options.measure, 'log', '-', 'sh', '-c', script], cwd=folder) as process:
            while process.poll() is None and not os.path.exists(os.path.join(folder, 'ready')):
                time.sleep(0.05)
            process.send_signal(signal.SIGTERM)
            require(process.wait() == 5, f'after a signal the status is {process.returncode}')


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--measure')
    parser.add_argument('--program')
    parser.add_argument('--mode', nargs='+', default=[])
    parser.add_argument('--libraries', nargs='+', required=True)
    parser.add_argument('--threads', type=int, default=4)
    parser.add_argument('--work', type=int, default=1)
    options = parser.parse_args()
    options.libraries = [os.path.realpath(library) for library in options.libraries]
    options.measure = options.measure and os.path.abspath(options.measure)
    if options.program:
        test_program(options)
    else:
        test_figures(options)
        test_preload(options)
        test_signal(options)


if __name__ == '__main__':
    main()
