#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
"""aomalloc-run: which programs it runs and how, what it refuses and with which words, and what --stats says."""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

options = None
STATS = re.compile(r'^aomalloc: (?P<name>[^[]*)\[(?P<pid>\d+)\]: variant=(?P<variant>\S+) mode="(?P<mode>[^"]*)" '
                   r'mapped=(?P<mapped>\d+) heap=(?P<heap>\d+) runs=(?P<runs>\d+) used=(?P<used>\d+) '
                   r'resident=(?P<resident>\d+) resident_peak=(?P<resident_peak>\d+)$', re.MULTILINE)
PRELOADED = re.compile(r'/libaomalloc-preload-(\w+)\.so$', re.MULTILINE)
MIB = 1 << 20


def run(*arguments, command=None, **how):
    return subprocess.run([command or options.command, *arguments], capture_output=True, text=True, timeout=60,
                          check=False, **how)


def environment(**changes):
    return {**os.environ, **changes}


def python(*arguments):
    """The interpreter itself, not a script that looks for one."""
    return [os.path.realpath(sys.executable), *arguments]


class Run(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, content, mode=0o755):
        with open(self.path(name), 'wb') as file:
            file.write(content if isinstance(content, bytes) else content.encode())
        os.chmod(self.path(name), mode)
        return self.path(name)

    def compile(self, name, *flags):
        source = self.write('main.c', 'int main(void) { return 5; }\n')
        done = subprocess.run([*options.cc, source, *flags, '-o', self.path(name)], capture_output=True, check=False)
        if done.returncode != 0:
            self.skipTest(f'the compiler cannot link with {" ".join(flags)}')
        return self.path(name)

    def assert_refused(self, result, status, words):
        self.assertEqual(result.returncode, status, result.stderr)
        self.assertRegex(result.stderr, r'\Aaomalloc-run: [^\n]*' + words)
        self.assertEqual(result.stdout, '')

    def assert_runs_variant(self, result, variant):
        self.assertEqual(result.stderr, '')
        self.assertEqual(set(PRELOADED.findall(result.stdout)), {variant})

    # ---- running ----

    def test_each_variant(self):
        for variant in options.variants:
            for words in ['--variant', variant], [f'--variant={variant}'], ['-v', variant], [f'-v{variant}']:
                self.assert_runs_variant(run(*words, 'cat', '/proc/self/maps'), variant)

    def test_default_variant(self):
        self.assert_runs_variant(run('cat', '/proc/self/maps'), options.variant)

    def test_children_have_it_too(self):
        self.assert_runs_variant(run('sh', '-c', 'cat /proc/self/maps; true'), options.variant)

    def test_arguments_and_status_are_the_programs(self):
        result = run('sh', '-c', 'printf "%s." "$0" "$@"; cat; exit 7', '--stats', '', 'a b', '--help', input='in')
        self.assertEqual((result.returncode, result.stdout, result.stderr), (7, '--stats..a b.--help.in', ''))

    def test_name_of_the_program_is_as_given(self):
        link = self.path('a name')
        os.symlink(shutil.which('cat'), link)
        self.assertEqual(run(link, '/proc/self/cmdline').stdout.split('\0')[0], link)

    def test_path(self):
        os.mkdir(self.path('first'))
        os.mkdir(self.path('second'))
        self.write('first/program', '#!/bin/sh\necho first\n', mode=0o644)
        self.write('second/program', '#!/bin/sh\necho second\n')
        self.write('here', '#!/bin/sh\necho here\n')
        path = f'{self.path("first")}:/nowhere::{self.path("second")}:/bin:/usr/bin'
        self.assertEqual(run('program', env=environment(PATH=path)).stdout, 'second\n')
        self.assertEqual(run('here', env=environment(PATH=path), cwd=self.folder).stdout, 'here\n')
        self.assert_refused(run('program', env=environment(PATH=self.path('first'))), 126, 'program: Permission')
        self.assert_refused(run('program', env=environment(PATH='')), 127, 'program: No such file')

    def test_scripts(self):
        self.write('plain', 'echo plain $1\n')
        self.write('direct', '#! /bin/sh -e\necho direct $1\n')
        self.write('nested', f'#!{self.path("direct")}\n')
        for name, output in ('plain', 'plain x\n'), ('direct', 'direct x\n'), \
                ('nested', f'direct {self.path("nested")}\n'):
            result = run(self.path(name), 'x')
            self.assertEqual((result.stdout, result.stderr), (output, ''))
        self.write('python', f'#!{python()[0]}\nprint(open("/proc/self/maps").read())\n')
        self.assert_runs_variant(run(self.path('python')), options.variant)

    def test_other_preloads_stay(self):
        extra = self.compile('extra.so', '-shared', '-fPIC')
        result = run('sh', '-c', 'echo $LD_PRELOAD', env=environment(LD_PRELOAD=f'{extra} {extra}'))
        self.assertEqual([os.path.basename(name) for name in result.stdout.strip().split(':')],
                         [f'libaomalloc-preload-{options.variant}.so', 'extra.so', 'extra.so'])

    def test_inner_one_wins(self):
        for outer, inner in zip(options.variants, reversed(options.variants)):
            result = run('--variant', outer, options.command, '--variant', inner, 'cat', '/proc/self/maps')
            self.assert_runs_variant(result, inner)

    def test_found_beside_bin(self):
        for folder in 'bin', 'lib':
            os.makedirs(self.path(f'prefix/{options.bindir if folder == "bin" else options.libdir}'))
        command = shutil.copy(options.command, self.path(f'prefix/{options.bindir}'))
        for variant in options.variants:
            shutil.copy(f'{os.path.dirname(options.command)}/libaomalloc-preload-{variant}.so',
                        self.path(f'prefix/{options.libdir}'))
        result = run('cat', '/proc/self/maps', command=command)
        self.assert_runs_variant(result, options.variant)
        self.assertIn(self.path('prefix'), result.stdout)
        os.rename(self.path('prefix'), self.path('a prefix'))
        command = command.replace('/prefix/', '/a prefix/')
        self.assert_refused(run('true', command=command), 125, 'blank or colon')

    # ---- refusing ----

    def test_usage(self):
        self.assertEqual(run().returncode, 125)
        self.assertEqual(run('--nonsense', 'true').returncode, 125)
        self.assertEqual(run('--help').returncode, 0)
        self.assertEqual(run('--version').stdout, f'aomalloc-run {options.version}\n')

    def test_unknown_variant(self):
        self.assert_refused(run('--variant', 'nonsense', 'true'), 125, 'variant "nonsense"')
        self.assert_refused(run('--variant', '', 'true'), 125, 'variant ""')

    def test_missing_program(self):
        self.assert_refused(run('no-such-program-anywhere'), 127, 'no-such-program-anywhere: No such file')
        self.assert_refused(run('/nowhere/program'), 127, '/nowhere/program: No such file')
        self.assert_refused(run('/etc/passwd/program'), 127, 'No such file')
        self.assert_refused(run(''), 127, ': No such file')
        self.assert_refused(run('/etc'), 126, '/etc: Permission denied')
        self.assert_refused(run('/' + 'x' * 5000), 126, 'File name too long')

    def test_missing_interpreter(self):
        script = self.write('script', '#!/no/such/interpreter\n')
        self.assert_refused(run(script), 127, 'script: its interpreter /no/such/interpreter: No such file')

    def test_endless_scripts(self):
        script = self.write('script', f'#!{self.path("script")}\n')
        self.assertEqual(run(script).returncode, 126)

    def test_static_programs(self):
        for flag in '-static', '-static-pie':
            program = self.compile('static', flag)
            self.assertEqual(subprocess.run(program, check=False).returncode, 5)
            self.assert_refused(run(program), 126, 'static: statically linked')
        script = self.write('script', f'#!{program} -x\n')
        self.assert_refused(run(script), 126, 'script: its interpreter [^ ]*/static is statically linked')

    def test_another_processor(self):
        with open(self.compile('dynamic'), 'rb') as file:
            elf = bytearray(file.read())
        elf[4] = 3 - elf[4]
        self.assert_refused(run(self.write('other', bytes(elf))), 126, 'another kind of processor')
        elf[4] = 3 - elf[4]
        elf[18] ^= 1
        self.assert_refused(run(self.write('other', bytes(elf))), 126, 'another kind of processor')
        self.assert_refused(run(self.write('short', b'\x7fELF')), 126, 'another kind of processor')

    def test_other_rights(self):
        program = self.compile('program')
        os.chmod(program, 0o6755)
        self.assertEqual(run(program).returncode, 5) # of its owner, who runs it
        if os.getuid() != 0 or os.statvfs(self.folder).f_flag & os.ST_NOSUID:
            self.skipTest('only root can give files away, and not on a file system without set-user-ID')
        os.chown(program, 65534, 0)
        os.chmod(program, 0o4755)
        self.assert_refused(run(program), 126, 'program: set-user-ID')
        os.chown(program, 0, 65534)
        os.chmod(program, 0o2755)
        self.assert_refused(run(program), 126, 'program: set-group-ID')
        os.chmod(program, 0o2745) # without the right to execute it means another thing
        self.assertEqual(run(program).returncode, 5)

    # ---- --stats ----

    def stats(self, *arguments, **how):
        result = run('--stats', *arguments, **how)
        found = [match.groupdict() for match in STATS.finditer(result.stderr)]
        self.assertEqual(STATS.sub('', result.stderr).strip(), '', 'nothing else on standard error')
        return result.stdout, found

    def test_stats_of_each_variant(self):
        for variant in options.variants:
            _, (line,) = self.stats('--variant', variant, 'true')
            self.assertEqual((line['variant'], line['name']), (variant, 'true'))
            self.assertIn(line['mode'].split(':')[0], ['cas', 'rseq', 'tls'])

    def test_nothing_without_stats(self):
        for changes in {}, {'AOMALLOC_STATS': ''}:
            self.assertEqual(run('true', env=environment(**changes)).stderr, '')

    def test_stats_of_each_process(self):
        """Not of a shell like dash, which leaves by _exit()."""
        output, lines = self.stats('xargs', '-n', '1', 'echo', input='a b c')
        self.assertEqual(output, 'a\nb\nc\n')
        self.assertEqual(sorted(line['name'] for line in lines), ['echo', 'echo', 'echo', 'xargs'])
        self.assertEqual(len({line['pid'] for line in lines}), 4)

    def test_figures(self):
        _, (small,) = self.stats(*python('-c', 'pass'))
        _, (large,) = self.stats(*python('-c', 'import ctypes; x = bytearray(50 << 20);'
                                         'y = [bytes(1000) for i in range(30000)]; ctypes.CDLL(None).exit(0)'))
        _, (freed,) = self.stats(*python('-c', 'x = bytearray(50 << 20); del x'))
        self.assertGreaterEqual(int(large['mapped']) - int(small['mapped']), 75 * MIB)
        self.assertLess(int(large['mapped']) - int(small['mapped']), 95 * MIB)
        for line in small, large, freed:
            self.assertLessEqual(int(line['used']), int(line['runs']))
            self.assertLessEqual(int(line['runs']), int(line['heap']))
            self.assertLessEqual(int(line['resident']), int(line['resident_peak']))
        self.assertGreater(int(freed['resident_peak']), 50 * MIB)
        self.assertLess(int(small['resident_peak']), 40 * MIB)

    def test_used_counts_blocks(self):
        """Of 60000 blocks of which half are freed, within the rounding of their size."""
        program = ('import ctypes, sys; c = ctypes.CDLL(None); c.malloc.restype = ctypes.c_void_p;'
                   'blocks = [c.malloc(1000) for i in range(int(sys.argv[1]))];'
                   '[c.free(ctypes.c_void_p(block)) for block in blocks[::2]]')
        _, (none,) = self.stats('--variant', 'base', *python('-c', program, '0'))
        _, (many,) = self.stats('--variant', 'base', *python('-c', program, '60000'))
        used = int(many['used']) - int(none['used'])
        self.assertGreaterEqual(used, 30000 * 1000)
        self.assertLess(used, 30000 * 1024 + MIB)

    def test_stats_although_standard_error_is_closed(self):
        _, (line,) = self.stats(*python('-c', 'import os; os.close(2)'))
        self.assertEqual(line['variant'], options.variant)

    def test_stats_never_go_into_a_file_of_the_program(self):
        """It has closed all it was given, and has files where the standard error and its copy were."""
        program = 'import os; os.closerange(2, 1000); [os.open(f"file{i}", os.O_CREAT | os.O_RDWR) for i in range(300)]'
        output, lines = self.stats(*python('-c', program), cwd=self.folder)
        self.assertEqual((output, lines), ('', []))
        self.assertEqual({os.path.getsize(self.path(f'file{i}')) for i in range(300)}, {0})

    def test_stats_without_standard_error(self):
        done = subprocess.run(['sh', '-c', 'exec "$0" --stats true 2>&-', options.command], check=False)
        self.assertEqual(done.returncode, 0)

    # ---- completion ----

    def complete(self, *words):
        script = f'''
            _command_offset() {{ echo "command $1"; }}
            . {options.completion}
            COMP_WORDS=(aomalloc-run "$@") COMP_CWORD=$#
            _aomalloc_run
            printf '%s\\n' "${{COMPREPLY[@]}}"'''
        return subprocess.run(['bash', '-c', script, 'bash', *words], capture_output=True, text=True,
                              check=True).stdout.split('\n')[0:-1]

    def test_completion(self):
        if not shutil.which('bash'):
            self.skipTest('no bash')
        variants = list(options.variants)
        self.assertEqual(self.complete('--s'), ['--stats'])
        self.assertIn('--variant', self.complete('--'))
        self.assertEqual(self.complete('--variant', ''), variants)
        self.assertEqual(self.complete('--variant', 'ba'), ['base'])
        self.assertEqual(self.complete('-v', 'ba'), ['base'])
        self.assertEqual(self.complete('--variant', '='), variants)
        self.assertEqual(self.complete('--variant', '=', 'ba'), ['base'])
        self.assertEqual(self.complete('ec')[0], 'command 1')
        self.assertEqual(self.complete('--stats', 'ec')[0], 'command 2')
        self.assertEqual(self.complete('--variant', 'base', 'ec')[0], 'command 3')
        self.assertEqual(self.complete('--variant', '=', 'base', '--stats', 'ls', '--s')[0], 'command 5')
        help_text = run('--help').stdout
        for option in self.complete('--')[0:2]:
            self.assertIn(option, help_text)


def main():
    global options
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--command', required=True)
    parser.add_argument('--completion', required=True)
    parser.add_argument('--variants', nargs='+', required=True)
    parser.add_argument('--variant', required=True)
    parser.add_argument('--version', required=True)
    parser.add_argument('--bindir', required=True)
    parser.add_argument('--libdir', required=True)
    parser.add_argument('--cc', nargs='+', required=True)
    options, rest = parser.parse_known_args()
    options.command = os.path.abspath(options.command)
    for name in 'LD_PRELOAD', 'AOMALLOC_STATS':
        os.environ.pop(name, None)
    os.environ['LC_ALL'] = 'C'
    unittest.main(argv=[sys.argv[0], *rest])


if __name__ == '__main__':
    main()
