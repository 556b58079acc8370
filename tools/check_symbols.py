#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
"""Checks what a built libaomalloc exports, what it needs, and how it is linked.

Exported must be exactly what the version script names. Needed may be only what ALLOWED lists: system-call wrappers and
abort; no pthread (weak references may be asked for), no stdio, no dlsym, no malloc, nothing that could lock or that a
resolver chooses.
"""
import argparse
import re
import subprocess
import sys

ALLOWED = {
    'mmap', 'munmap', 'mremap', 'madvise', 'write', 'abort', '__errno_location',
    # What 32-bit hosts with 64-bit offsets make of these.
    'mmap64',
    '__stack_chk_fail',
    # A system call without a wrapper, membarrier; and a look at what the kernel told the process when it started.
    'syscall', 'getauxval',
    # What libgcc's division of 64 bits does on 32-bit ARM when it is by 0, which it never is here.
    'raise',
    # Which kernel, on aarch64: a system call after AO_malloc_enable_mmap().
    'uname',
}
# Weak references that compiler and C library start-up files add to every shared library, and glibc's rseq area.
ALLOWED_WEAK = {
    '__cxa_finalize', '__gmon_start__', '_ITM_deregisterTMCloneTable', '_ITM_registerTMCloneTable',
    '__rseq_offset', '__rseq_size', '__rseq_flags',
}


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def symbols(nm, library, option):
    """name -> type letter, without version suffixes."""
    found = {}
    for line in run(nm, '-D', option, library).splitlines():
        *_, kind, name = line.split()
        if kind != 'A':
            found[name.split('@')[0]] = kind
    return found


def names_in_version_script(path):
    with open(path, encoding='utf-8') as script:
        text = re.sub(r'/\*.*?\*/|#[^\n]*', '', script.read(), flags=re.DOTALL)
    exported = re.search(r'global:(.*?)local:', text, re.DOTALL).group(1)
    return {name.strip() for name in exported.split(';') if name.strip()}


def compare(what, found, wanted):
    return [f'{what}: unexpected {name}' for name in sorted(found - wanted)] + \
        [f'{what}: missing {name}' for name in sorted(wanted - found)]


def check_needed(needed, allowed, allowed_weak):
    problems = []
    for name, kind in sorted(needed.items()):
        if name in allowed or (name in allowed_weak and kind in 'wv'):
            continue
        problems.append(f'needs {name} ({"weak" if kind in "wv" else "strong"}), which is not on the list')
    return problems


def check_dynamic(dynamic, soname, constructors_wanted):
    problems = []
    if '(TEXTREL)' in dynamic:
        problems.append('has text relocations')
    if not re.search(r'BIND_NOW|\(FLAGS_1\).*\bNOW\b', dynamic):
        problems.append('is not bound at start (-z now): lazy binding takes locks and stack')
    # One entry is the compiler's own start-up file.
    constructors = re.search(r'\(INIT_ARRAYSZ\)\s+(\d+)', dynamic)
    if constructors and int(constructors.group(1)) > 8 * (1 + constructors_wanted):
        problems.append('has constructors')
    found = re.search(r'\(SONAME\).*\[(.*)\]', dynamic)
    found = found.group(1) if found else None
    if found != soname:
        problems.append(f'soname is {found}, not {soname}')
    for library in re.findall(r'\(NEEDED\).*\[(.*)\]', dynamic):
        if not re.match(r'libc\.|ld-', library):
            problems.append(f'needs the library {library}')
    return problems


def check_segments(segments):
    problems = []
    stack = re.search(r'GNU_STACK.*', segments)
    if not stack or re.search(r'\bRWE\b', stack.group(0)):
        problems.append('has an executable stack')
    if 'GNU_RELRO' not in segments:
        problems.append('has no read-only relocations (-z relro)')
    if re.search(r'\bRWE\b', re.sub(r'.*GNU_STACK.*', '', segments)):
        problems.append('has a segment that is writable and executable')
    return problems


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('library')
    parser.add_argument('--version-script', required=True)
    parser.add_argument('--soname', help='default: there must be none')
    parser.add_argument('--export', nargs='+', default=[], help='names exported beside those of the version script')
    parser.add_argument('--allow', nargs='+', default=[], help='names that may be needed, too')
    parser.add_argument('--allow-weak', nargs='+', default=[], help='names that may be needed by weak references')
    parser.add_argument('--constructors', type=int, default=0)
    parser.add_argument('--nm', default='nm')
    parser.add_argument('--readelf', default='readelf')
    options = parser.parse_args()

    problems = compare('exports', set(symbols(options.nm, options.library, '--defined-only')),
                       names_in_version_script(options.version_script) | set(options.export))
    problems += check_needed(symbols(options.nm, options.library, '--undefined-only'), ALLOWED | set(options.allow),
                             ALLOWED_WEAK | set(options.allow_weak))
    problems += check_dynamic(run(options.readelf, '-dW', options.library), options.soname, options.constructors)
    problems += check_segments(run(options.readelf, '-lW', options.library))
    for problem in problems:
        print(f'{options.library}: {problem}')
    return 1 if problems else 0


if __name__ == '__main__':
    sys.exit(main())
