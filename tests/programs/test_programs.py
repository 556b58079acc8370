#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
"""Runs real programs as they are and then under each variant of aomalloc, and compares all that they give, byte by
byte. What each cost is printed, and judged by nobody."""
import argparse
import filecmp
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SKIPPED = 77
STATS = re.compile(r'^aomalloc: ([^[\n]*)\[\d+\]: variant=(\S+) ', re.MULTILINE)


class Failure(Exception):
    pass


class Skip(Exception):
    pass


def programs():
    return sorted(name[:-3] for name in os.listdir(os.path.join(HERE, 'program')) if name.endswith('.sh'))


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


class Attempt:
    """One run of a program's script in a folder of its own; what it said, and what it cost."""

    def __init__(self, options, name, variant):
        self.folder = os.path.join(options.folder, name, variant or 'plain')
        os.makedirs(self.folder)
        environment = {key: value for key, value in os.environ.items() if key not in ('LD_PRELOAD', 'AOMALLOC_STATS')}
        environment.update(
            RUN=f'{options.command} --stats --variant {variant}' if variant else '',
            SIZE=options.size, SOURCE=options.source, PORT=str(free_port()), PYTHONDONTWRITEBYTECODE='1')
        began = time.monotonic()
        with open(os.path.join(self.folder, 'log'), 'wb+') as log:
            # A group of its own, so that a server which a failed script left behind can be ended.
            process = subprocess.Popen([os.path.join(HERE, 'program', name + '.sh')], cwd=self.folder, env=environment,
                                       stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
            _, status, usage = os.wait4(process.pid, 0)
            log.seek(0)
            self.log = log.read().decode(errors='replace')
        self.seconds = time.monotonic() - began
        self.cpu_seconds = usage.ru_utime + usage.ru_stime
        self.peak_mib = usage.ru_maxrss / 1024
        self.status = process.returncode = os.waitstatus_to_exitcode(status)
        if self.status != 0:
            end_group(process.pid)

    def under(self):
        """The programs that must have had aomalloc under them."""
        with open(os.path.join(self.folder, 'under'), encoding='utf-8') as file:
            return set(file.read().split())


def end_group(group):
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass


def check_ended(attempt):
    if attempt.status == SKIPPED:
        raise Skip(attempt.log.strip())
    if attempt.status != 0:
        raise Failure(f'status {attempt.status}\n{attempt.log[-4000:]}')


def check_under(attempt, variant):
    found = set(STATS.findall(attempt.log))
    missing = attempt.under() - {name for name, of in found if of == variant}
    if missing:
        raise Failure(f'no word from aomalloc under {", ".join(sorted(missing))}, but from {sorted(found)}')
    if {of for _, of in found} != {variant}:
        raise Failure(f'another variant: {sorted(found)}')


def check_same(plain, attempt):
    names = [sorted(os.listdir(os.path.join(run.folder, 'result'))) for run in (plain, attempt)]
    if names[0] != names[1] or not names[0]:
        raise Failure(f'results are {names[1]}, and without aomalloc {names[0]}')
    for name in names[0]:
        paths = [os.path.join(run.folder, 'result', name) for run in (plain, attempt)]
        if not filecmp.cmp(*paths, shallow=False):
            told = subprocess.run(['diff', '-a', *paths], capture_output=True, text=True, errors='replace', check=False)
            raise Failure(f'{name} differs:\n{told.stdout[:2000]}')


def row(name, run, attempt, verdict):
    print(f'{name:8} {run:8} {attempt.seconds:8.2f} {attempt.cpu_seconds:8.2f} {attempt.peak_mib:9.1f}  {verdict}',
          flush=True)


def test(options, name):
    plain = Attempt(options, name, None)
    check_ended(plain)
    row(name, 'plain', plain, '')
    for variant in options.variants:
        attempt = Attempt(options, name, variant)
        check_ended(attempt)
        check_under(attempt, variant)
        check_same(plain, attempt)
        row('', variant, attempt, 'same results')


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--command', required=True, help='aomalloc-run')
    parser.add_argument('--source', required=True, help='the project')
    parser.add_argument('--variants', nargs='+', required=True)
    parser.add_argument('--size', choices=['short', 'full'], default='short')
    parser.add_argument('--program', nargs='+', default=programs(), choices=programs())
    options = parser.parse_args()
    options.command = os.path.abspath(options.command)
    options.source = os.path.abspath(options.source)
    failed = skipped = 0
    print(f'{"program":8} {"malloc":8} {"seconds":>8} {"CPU s":>8} {"peak MiB":>9}')
    with tempfile.TemporaryDirectory() as options.folder:
        for name in options.program:
            try:
                test(options, name)
            except Skip as reason:
                skipped += 1
                print(f'{name:8} SKIPPED: {reason}', flush=True)
            except Failure as reason:
                failed += 1
                print(f'{name:8} FAILED: {reason}', flush=True)
            shutil.rmtree(os.path.join(options.folder, name), ignore_errors=True)
    passed = len(options.program) - failed - skipped
    print(f'{passed} passed, {failed} failed, {skipped} skipped')
    return 1 if failed else 0 if passed else SKIPPED


if __name__ == '__main__':
    sys.exit(main())
