#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
"""Instructions of each basic block of a program that was built with -fsanitize-coverage=trace-pc.

usage: weights.py PROGRAM

A line for each call of __sanitizer_cov_trace_pc(): the address behind it, and how many instructions follow up to the
next such call or the end of the function, those calls not counted. Blocks that the compiler divided afterwards count
with the one before them.
"""
import re
import subprocess
import sys

INSTRUCTION = re.compile(r'^ *([0-9a-f]+):\t(.*)$')


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    listing = subprocess.run(['objdump', '-d', '--no-show-raw-insn', sys.argv[1]], check=True, capture_output=True,
                             text=True).stdout
    start, pending, weight = None, False, 0
    for line in listing.splitlines() + ['']:
        found = INSTRUCTION.match(line)
        is_call = bool(found) and '<__sanitizer_cov_trace_pc>' in found[2]
        if pending and found:
            start, pending, weight = found[1], False, 0
        if start and (is_call or not found):
            print(start, weight)
            start = None
        if is_call:
            pending = True
        elif found and not found[2].startswith(('nop', 'data16', 'cs nop', 'xchg   %ax,%ax')):
            weight += 1


if __name__ == '__main__':
    main()
