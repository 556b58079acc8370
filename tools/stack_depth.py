#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
"""Computes the deepest stack of every exported function from gcc's -fcallgraph-info=su output.

    stack_depth.py --version-script FILE [--limit BYTES] FILE.ci...
    stack_depth.py --version-script FILE [--limit BYTES] --source SOURCE... -- COMPILER...

With --source the sources are compiled first, in a temporary directory. Each function's number is gcc's: its own frame
with saved registers and, on x86, the return address that its caller pushed (an empty leaf has 8 bytes there). So the
sum over a call chain is what the caller of an AO_ function must have free below its stack pointer. A call in tail
position counts
as a call, which errs on the safe side. Functions outside the library count as the constants in EXTERNAL.

Recursion, frames of variable size, indirect calls and unknown external functions make the result meaningless and are
failures.
What follows a detected misuse (FATAL) is left out: the process is about to end.
"""
import argparse
import os
import re
import subprocess
import sys
import tempfile

# The C library's wrappers of system calls save no registers; 64 bytes cover the return address and errno's.
SYSCALL_BYTES = 64
# Memory functions run in registers; aligned spills of a dynamic loader's IFUNC variants are below this.
MEMORY_BYTES = 64
EXTERNAL = {
    'mmap': SYSCALL_BYTES, 'mmap64': SYSCALL_BYTES, 'munmap': SYSCALL_BYTES, 'mremap': SYSCALL_BYTES,
    'madvise': SYSCALL_BYTES, 'write': SYSCALL_BYTES, 'uname': SYSCALL_BYTES,
    'syscall': SYSCALL_BYTES, 'getauxval': 64, '__errno_location': 16,
    # glibc's, which go no deeper for the first 32 keys: four registers and a return address at most.
    'pthread_key_create': 64, 'pthread_key_delete': 64, 'pthread_setspecific': 64,
    'memcpy': MEMORY_BYTES, 'memmove': MEMORY_BYTES, 'memset': MEMORY_BYTES,
    '__builtin_memcpy': MEMORY_BYTES, '__builtin_memmove': MEMORY_BYTES, '__builtin_memset': MEMORY_BYTES,
    '__builtin_unreachable': 0, '__builtin_trap': 0, '__builtin_popcountll': 16, '__popcountdi2': 16,
    # libgcc's, where 64 bits are two words.
    '__ctzdi2': 16, '__clzdi2': 16, '__udivdi3': 64, '__umoddi3': 64,
    '__aeabi_uidiv': 16, '__aeabi_uidivmod': 32, '__aeabi_uldivmod': 64,
}
# These end the process with a message; they do not return and may take what they need.
FATAL = {'aoma_fail', 'aoma_fail_invariant', 'abort', '__builtin_abort', '__stack_chk_fail'}

NODE = re.compile(r'node: \{ title: "([^"]*)" label: "([^"]*)"')
EDGE = re.compile(r'edge: \{ sourcename: "([^"]*)" targetname: "([^"]*)"')
INDIRECT = '__indirect_call'
SIZE = re.compile(r'(\d+) bytes \(([^)]*)\)')


class Graph:
    def __init__(self):
        self.bytes = {}
        self.kind = {}
        self.calls = {}

    def read(self, path):
        with open(path, encoding='utf-8') as file:
            for line in file:
                node, edge = NODE.search(line), EDGE.search(line)
                if node and (size := SIZE.search(node.group(2))):
                    name = node.group(1)
                    self.bytes[name] = max(self.bytes.get(name, 0), int(size.group(1)))
                    self.kind[name] = self.kind.get(name, '') + size.group(2)
                elif edge:
                    self.calls.setdefault(edge.group(1), set()).add(edge.group(2))


class Problem(Exception):
    pass


def external_name(name):
    return name.rsplit(':', 1)[-1]


def deepest(graph, name, above=(), known=None):
    """(bytes, chain) of the deepest call chain that starts at name."""
    known = {} if known is None else known
    if name in above:
        raise Problem('recursion: ' + ' -> '.join(above[above.index(name):] + (name,)))
    if name in known:
        return known[name]
    if external_name(name) in FATAL:
        return 0, ()
    if name == INDIRECT:
        raise Problem(f'{above[-1]} calls through a pointer')
    if name not in graph.bytes:
        if external_name(name) not in EXTERNAL:
            raise Problem(f'{above[-1]} calls {name}, of which nothing is known')
        return EXTERNAL[external_name(name)], (name,)
    # "dynamic,bounded" is what aligning the stack for a call gives on x86-32; its figure is an upper bound.
    if 'dynamic' in graph.kind[name] and 'bounded' not in graph.kind[name]:
        raise Problem(f'{name} has a frame of variable size')
    below = max((deepest(graph, callee, above + (name,), known) for callee in graph.calls.get(name, ())),
                default=(0, ()))
    known[name] = graph.bytes[name] + below[0], (name,) + below[1]
    return known[name]


def exported_names(version_script):
    with open(version_script, encoding='utf-8') as script:
        return sorted(set(re.findall(r'\bAO_\w+', script.read())))


def can_tell(command):
    probe = [*command, '-fcallgraph-info=su', '-fsyntax-only', '-x', 'c', os.devnull]
    with tempfile.TemporaryDirectory() as directory:  # it leaves a file
        return subprocess.run(probe, capture_output=True, check=False, cwd=directory).returncode == 0


def compile_sources(command, sources, directory):
    for number, source in enumerate(sources):
        output = os.path.join(directory, f'{number}.o')
        subprocess.run([*command, '-fcallgraph-info=su', '-c', source, '-o', output], check=True)
    return [os.path.join(directory, name) for name in os.listdir(directory) if name.endswith('.ci')]


def report(graph, functions, limit):
    failures = 0
    print(f'{"function":24} {"bytes":>5}  deepest chain')
    for function in functions:
        try:
            if function not in graph.bytes:
                raise Problem('is not in the call graph')
            depth, chain = deepest(graph, function)
        except Problem as problem:
            print(f'{function:24}     -  {problem}')
            failures += 1
            continue
        steps = ' '.join(f'{name.rsplit(":", 1)[-1]}:{graph.bytes.get(name, EXTERNAL.get(external_name(name)))}'
                         for name in chain)
        print(f'{function:24} {depth:5}  {steps}' + ('   TOO DEEP' if depth > limit else ''))
        failures += depth > limit
    return failures


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--limit', type=int, default=512)
    parser.add_argument('--version-script', required=True, help='names the exported functions')
    parser.add_argument('--source', action='append', default=[], help='compiled with the command that follows --')
    parser.add_argument('rest', nargs='*', help='files.ci, or with --source a compile command after --')
    options = parser.parse_args()

    if options.source and not can_tell(options.rest):
        print('skipped: only gcc writes call graphs')
        return 77
    graph = Graph()
    with tempfile.TemporaryDirectory() as directory:
        files = compile_sources(options.rest, options.source, directory) if options.source else options.rest
        for path in files:
            graph.read(path)
    return 1 if report(graph, exported_names(options.version_script), options.limit) else 0


if __name__ == '__main__':
    sys.exit(main())
