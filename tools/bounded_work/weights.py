#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
"""Instructions of each basic block of a program that was built with -fsanitize-coverage=trace-pc.

usage: weights.py PROGRAM

A line for each call of __sanitizer_cov_trace_pc(): the address behind it; how many instructions follow up to the next
such call or the end of the function, those calls not counted; whether the function begins with it; the function's name.
Blocks that the compiler divided afterwards count with the one before them.
"""
import re
import subprocess
import sys

FUNCTION = re.compile(r'^[0-9a-f]+ <([^.>]*)(.*)>:$')  # gcc's .cold, .isra.0 and so on left off
JUMP = re.compile(r'jmp +([0-9a-f]+) ')
INSTRUCTION = re.compile(r'^ *([0-9a-f]+):\t(.*)$')


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    listing = subprocess.run(['objdump', '-d', '--no-show-raw-insn', sys.argv[1]], check=True, capture_output=True,
                             text=True).stdout
    start, pending, weight, function = None, False, 0, ''
    entry = None  # where the function's first block is, or begins to be looked for; None: it has been found
    for line in listing.splitlines() + ['']:
        found = INSTRUCTION.match(line)
        is_call = bool(found) and '<__sanitizer_cov_trace_pc>' in found[2]
        if pending and found:
            start, pending, weight = found[1], False, 0
        if start and (is_call or not found):
            is_entry = entry is not None and int(start, 16) > entry
            print(start, weight, int(is_entry), function)
            start, entry = None, None if is_entry else entry
        if not found:
            pending = False  # a jump, for want of anything behind it: not counted
        if named := FUNCTION.match(line):
            function, entry = named[1], 0 if '.cold' not in named[2] else None
        if is_call:
            pending = True
        elif found and not found[2].startswith(('nop', 'data16', 'cs nop', 'xchg   %ax,%ax')):
            weight += 1
            if entry == 0 and not start and (jump := JUMP.match(found[2])):
                entry = int(jump[1], 16)  # to the condition of a loop


if __name__ == '__main__':
    main()
