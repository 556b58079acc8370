#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
"""Breaks the library in the ways that tests/mutation/ names, one at a time, and runs the tests that must notice.

Works on a copy of the tree in a temporary folder. The unbroken copy goes first: there the same tests must pass. Each
test that a mutation names must then fail on it. The exit status is 0 only if all do, and if no mutation has none but
tests that are skipped on this machine. A mutation that no test notices says why; on it the tests that it names must
pass, or else it is caught after all.

A file tests/mutation/NAME.txt:

    what: how the library is broken
    why: what that would do to a program, or which rule of the design it breaks
    tests: base/single_step:last_block_of_a_run percpu/no_syscall
    build: -Dchecks=expensive                     (optional: options of meson)
    uncaught: why no test notices                 (optional)
    --- lib/run.c
    text that stands in that file exactly once
    +++
    what takes its place

A line that begins with a blank continues the one before. More than one `---` may follow. A test is VARIANT/NAME of
meson's, and after a colon the one TEST() of it to run; those of no variant have no VARIANT/.
"""
import argparse
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDER = ROOT / 'tests' / 'mutation'
BEGIN, END = '<!-- begin of what tools/mutate.py writes -->\n', '<!-- end of what tools/mutate.py writes -->\n'
HEAD = '| mutation | what is broken | variant | caught by |\n|---|---|---|---|\n'
SKIPPED = 77
VARIANTS = {path.name for path in (ROOT / 'variants').iterdir() if path.is_dir()}
UNBROKEN_SECONDS_MAX = 600
ENDLESS_SECONDS = 10  # and several times as long as without the mutation
BASE_OPTIONS = ['-Dtests=enabled', *(f'-D{part}=disabled' for part in ('bench', 'examples', 'man', 'preload'))]


class Error(Exception):
    pass


# ---- the files ----

class Mutation:
    FIELDS = {'what', 'why', 'tests', 'build', 'uncaught'}

    def __init__(self, path):
        self.name = path.stem
        self.build = self.uncaught = ''
        self.edits = []  # (file, old, new)
        head, *parts = re.split(r'^--- (.+)\n', path.read_text(encoding='utf-8'), flags=re.MULTILINE)
        for line in re.sub(r'\n\s+', ' ', head).splitlines():
            key, colon, value = line.partition(':')
            if not colon or key not in self.FIELDS:
                raise Error(f'{path}: not understood: {line}')
            setattr(self, key, value.strip())
        for file, edit in zip(parts[::2], parts[1::2]):
            old, plus, new = edit.partition('+++\n')
            if not plus:
                raise Error(f'{path}: no +++ after --- {file}')
            self.edits.append((file, old, new))
        if not self.edits or not {'what', 'why', 'tests'} <= self.__dict__.keys():
            raise Error(f'{path}: something is missing')
        self.tests = self.tests.split()

    def apply_to(self, root):
        """The texts of the files it changes. Fails unless each search text stands in its file exactly once."""
        texts = {}
        for file, old, new in self.edits:
            text = texts.get(file) or (root / file).read_text(encoding='utf-8')
            if text.count(old) != 1 or old == new:
                raise Error(f'{self.name}: its text stands {text.count(old)} times in {file}:\n{old}')
            texts[file] = text.replace(old, new)
        return texts


def split_test(spec):
    """VARIANT/NAME:CASE -> (variant or None, name, case or None)."""
    name, _, case = spec.partition(':')
    variant, slash, rest = name.rpartition('/')
    return variant if slash else None, rest, case or None


def check_test(mutation, spec):
    """A case must stand in a source; whether meson knows the rest shows when it runs."""
    _, name, case = split_test(spec)
    if not case:
        return
    stem = re.sub(r'^(unit|percpu|perthread|boundary)_|-rseq-off$', '', name)
    if not any(f'TEST({case})' in path.read_text(encoding='utf-8') for path in ROOT.glob(f'tests/*/test_{stem}.c')):
        raise Error(f'{mutation.name}: no test {spec}')


def load(names):
    mutations = [Mutation(path) for path in sorted(FOLDER.glob('*.txt'))]
    unknown = set(names) - {mutation.name for mutation in mutations}
    if unknown:
        raise Error('no such mutation: ' + ' '.join(sorted(unknown)))
    return [mutation for mutation in mutations if not names or mutation.name in names]


def check(mutations):
    problems = []
    for mutation in mutations:
        try:
            mutation.apply_to(ROOT)
            for spec in mutation.tests:
                check_test(mutation, spec)
        except (Error, OSError) as error:
            problems.append(str(error))
    if problems:
        raise Error('\n'.join(problems))


# ---- the copy ----

def run(command, **options):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors='replace', check=False, **options)
    return done.returncode, done.stdout


class Copy:
    """The tree, of which at most one mutation is applied. Only what differs is written: builds stay incremental."""

    def __init__(self, folder):
        self.folder = folder
        self.changed = set()
        listed = subprocess.run(['git', 'ls-files', '-z', '--cached', '--others', '--exclude-standard'], cwd=ROOT,
                                check=True, capture_output=True, text=True).stdout
        for file in filter(None, listed.split('\0')):
            if (ROOT / file).is_file():
                self.write(file, (ROOT / file).read_bytes())
                shutil.copymode(ROOT / file, folder / file)

    def write(self, file, content):
        path = self.folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_bytes() != content:
            path.write_bytes(content)

    def apply(self, mutation):
        texts = mutation.apply_to(ROOT) if mutation else {}
        for file in self.changed - texts.keys():
            self.write(file, (ROOT / file).read_bytes())
        for file, text in texts.items():
            self.write(file, text.encode())
        self.changed = set(texts)


class Build:
    """A build directory of the copy, and the tests that meson knows in it."""

    def __init__(self, copy, folder, options):
        self.folder = folder
        if not (folder / 'build.ninja').exists():
            status, output = run(['meson', 'setup', folder, copy.folder, *BASE_OPTIONS, *options.split()],
                                 env={'CC': 'gcc', 'CXX': 'g++', **os.environ})
            if status:
                raise Error(output)
        self.tests = {}
        for test in self.introspect('--tests'):
            suites = [suite.rpartition(':')[2] for suite in test['suite']]
            variant = suites[0] if suites and suites[0] in VARIANTS else None
            self.tests[variant, test['name']] = test
        self.files = {target['id']: target['filename'] for target in self.introspect('--targets')}

    def introspect(self, what):
        return json.loads(subprocess.run(['meson', 'introspect', self.folder, what], check=True, capture_output=True,
                                         text=True).stdout)

    def test(self, spec):
        variant, name, _ = split_test(spec)
        if (variant, name) not in self.tests:
            raise Error(f'no test {spec}')
        return self.tests[variant, name]

    def make(self, specs):
        """What these tests need. Returns what was wrong, or None."""
        targets = {os.path.relpath(file, self.folder) for spec in specs
                   for target in self.test(spec)['depends'] for file in self.files[target]}
        status, output = run(['ninja', '-C', self.folder, *sorted(targets)]) if targets else (0, '')
        return '\n'.join(output.splitlines()[-20:]) if status else None

    def execute(self, spec, limit):
        """-> (exit status, None: it did not end in time; seconds; output)"""
        test = self.test(spec)
        case = split_test(spec)[2]
        environment = {'AOMALLOC_TEST_SEED': '1', 'TSAN_OPTIONS': 'halt_on_error=1', **os.environ, **test['env']}
        before = time.monotonic()
        with tempfile.TemporaryFile() as output:
            command = [test['cmd'][0], case] if case else test['cmd']
            process = subprocess.Popen(command, cwd=test['workdir'] or self.folder,
                                       env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                       start_new_session=True)
            try:
                status = process.wait(limit)
            except subprocess.TimeoutExpired:
                status = None
            finally:
                try:
                    os.killpg(process.pid, signal.SIGKILL)  # children that it may have left behind, too
                except ProcessLookupError:
                    pass
                process.wait()
            output.seek(0)
            return status, time.monotonic() - before, output.read().decode(errors='replace')


# ---- the run ----

def say(text, end='\n'):
    print(text, end=end, flush=True)


def tests_by_build(mutations):
    wanted = {}
    for mutation in mutations:
        wanted.setdefault(mutation.build, set()).update(mutation.tests)
    return wanted


def run_unbroken(builds, wanted):
    """(build, test) -> seconds; without those that are skipped on this machine."""
    seconds = {}
    for options, specs in wanted.items():
        say(f'unbroken{" " + options if options else ""}: building')
        problem = builds[options].make(specs)
        if problem:
            raise Error(problem)
        for number, spec in enumerate(sorted(specs), 1):
            say(f'unbroken: [{number}/{len(specs)}] {spec} ', end='')
            status, took, output = builds[options].execute(spec, UNBROKEN_SECONDS_MAX)
            if status not in (0, SKIPPED):
                raise Error(f'fails without any mutation:\n{output}')
            say(f'skipped: {output.splitlines()[-1]}' if status == SKIPPED else f'{took:.1f} s')
            if status == 0:
                seconds[options, spec] = took
    return seconds


class Notice:
    """A test that failed."""

    def __init__(self, spec, status, seconds, output):
        self.spec = spec
        self.seconds = seconds
        self.ended = status is not None
        # What cmocka says of each case that failed, if the whole program was run.
        cases = [] if split_test(spec)[2] else re.findall(r'^\[  FAILED  \] ([a-z_]\w*)$', output, flags=re.MULTILINE)
        self.cases = list(dict.fromkeys(cases))

    def __str__(self):
        others = f' and {len(self.cases) - 1} more' if len(self.cases) > 1 else ''
        case = f':{self.cases[0]}{others}' if self.cases else ''
        return f'{self.spec}{case} ({"did not end" if not self.ended else f"{self.seconds:.1f} s"})'


class Result:
    def __init__(self, mutation):
        self.mutation = mutation
        self.caught = []  # Notice
        self.missed = []
        self.is_judged = True  # not if all its tests are skipped on this machine
        self.problem = None

    def verdict(self):
        if self.problem:
            return 'DOES NOT BUILD'
        if not self.is_judged:
            return 'NOT JUDGED: its tests are skipped here'
        caught = ', '.join(map(str, self.caught))
        if self.mutation.uncaught:
            return f'CAUGHT AFTER ALL by {caught}' if caught else f'not caught: {self.mutation.uncaught}'
        if self.missed:
            return f'NOT CAUGHT by {", ".join(self.missed)}' + (f'; caught by {caught}' if caught else '')
        return caught

    def is_good(self):
        return not self.problem and not (self.caught if self.mutation.uncaught else self.missed)


def run_mutation(mutation, copy, build, unbroken):
    result = Result(mutation)
    copy.apply(mutation)
    specs = [spec for spec in mutation.tests if (mutation.build, spec) in unbroken]
    result.is_judged = bool(specs)
    result.problem = build.make(specs)
    for spec in specs if not result.problem else []:
        status, seconds, output = build.execute(spec, ENDLESS_SECONDS + 5 * unbroken[mutation.build, spec])
        if status in (0, SKIPPED):
            result.missed.append(spec)
        else:
            result.caught.append(Notice(spec, status, seconds, output))
            if verbose:
                say('\n' + '\n'.join(output.splitlines()[-8:]))
    return result


def variants_of(mutation):
    return ', '.join(dict.fromkeys(split_test(spec)[0] or 'all' for spec in mutation.tests))


def markdown_row(result):
    mutation = result.mutation
    what = mutation.what + (f' [{mutation.build}]' if mutation.build else '')
    variants = variants_of(mutation)
    verdict = result.verdict()
    if variants in VARIANTS:
        verdict = verdict.replace(f'{variants}/', '')
    return f'| {mutation.name} | {what} | {variants} | {verdict} |\n'.replace('_', '\\_')


def write_markdown(path, results):
    """Rows of mutations that were not tried stay as they are."""
    text = path.read_text(encoding='utf-8')
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise Error(f'{path}: the lines between which the table belongs are missing:\n{BEGIN}{END}')
    before, rest = text.split(BEGIN)
    table, after = rest.split(END)
    rows = dict(re.findall(r'^(?=\| ([\w-]+) \|)(.*\n)', table, flags=re.MULTILINE))
    rows.update((result.mutation.name, markdown_row(result)) for result in results)
    known = sorted(load([]), key=lambda mutation: (bool(mutation.uncaught), mutation.name))
    table = ''.join(rows[mutation.name] for mutation in known if mutation.name in rows)
    path.write_text(f'{before}{BEGIN}\n{HEAD}{table}\n{END}{after}', encoding='utf-8')


def run_all(mutations, folder, markdown):
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    copy = Copy(folder / 'tree')
    wanted = tests_by_build(mutations)
    builds = {options: Build(copy, folder / ('build' + re.sub(r'\W+', '-', options)), options) for options in wanted}
    before = time.monotonic()
    unbroken = run_unbroken(builds, wanted)
    results = []
    # By file, so that the same one is compiled in a row.
    for number, mutation in enumerate(sorted(mutations, key=lambda m: (m.build, m.edits[0][0], m.name)), 1):
        say(f'[{number}/{len(mutations)}] {mutation.name}: ', end='')
        result = run_mutation(mutation, copy, builds[mutation.build], unbroken)
        results.append(result)
        say(result.verdict())
        if result.problem:
            say(result.problem)
    copy.apply(None)

    width = max(len(result.mutation.name) for result in results)
    say(f'\n{"mutation":{width}}  caught by')
    for result in results:
        say(f'{result.mutation.name:{width}}  {result.verdict()}')
    uncaught = sum(bool(result.mutation.uncaught) for result in results)
    bad = sum(not result.is_good() for result in results)
    unjudged = sum(not result.is_judged for result in results)
    say(f'{len(results) - uncaught} to be caught, {uncaught} that cannot be, {bad} not as said, '
        f'{unjudged} not judged; {(time.monotonic() - before) / 60:.1f} minutes')
    if markdown:
        write_markdown(markdown, results)
    return 0 if bad == unjudged == 0 else 1


def main():
    global verbose
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('names', nargs='*', metavar='NAME', help='of mutations; all without any')
    parser.add_argument('--list', action='store_true', help='say what there is')
    parser.add_argument('--check', action='store_true', help='only see whether all of them still apply')
    parser.add_argument('--tests', metavar='TESTS', help='run these instead of those that the mutations name')
    parser.add_argument('--keep', metavar='DIR', type=pathlib.Path, help='work there, and use what is left there')
    parser.add_argument('--markdown', metavar='FILE', type=pathlib.Path,
                        help='write the table, or its rows of the mutations tried, into this document')
    parser.add_argument('--verbose', action='store_true', help='show the last lines of the tests that fail')
    options = parser.parse_args()
    verbose = options.verbose
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the test under way is ended
    try:
        mutations = load(options.names)
        check(mutations)
        if options.list:
            for mutation in mutations:
                say(f'{mutation.name}: {mutation.what}')
            return 0
        if options.check:
            say(f'{len(mutations)} mutations apply')
            return 0
        for mutation in mutations if options.tests else []:
            mutation.tests = options.tests.split()
        if options.keep:
            options.keep.mkdir(parents=True, exist_ok=True)
            return run_all(mutations, options.keep.resolve(), options.markdown)
        with tempfile.TemporaryDirectory(prefix='aomalloc-mutate-') as folder:
            return run_all(mutations, pathlib.Path(folder), options.markdown)
    except (Error, OSError) as error:
        say(f'mutate.py: {error}')
        return 1


if __name__ == '__main__':
    sys.exit(main())
