#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
"""Checks the restartable sections of a built libaomalloc in variant percpu, as the kernel will see them.

Of each descriptor: the section that it names ends with the commit, a store of 32 bits, and has no other; control leaves
it by branches and by its end only; the handler lies outside, behind the signature. A test that runs can hardly find a
commit outside of its section, since an interrupt would have to come before that very instruction.
"""
import argparse
import re
import struct
import subprocess
import sys

DESCRIPTOR = struct.Struct('<IIQQQ')  # version, flags, start, length, abort handler
# What a 32-bit store and a call look like, and the word before each handler.
PROCESSORS = {
    'AArch64': (r'str\s+w\d+', r'(bl|blr|ret|svc)\b', 0xd428bc00),
    'X86-64': (r'mov\s+%(?:e[a-d]x|e[sd]i|e[sb]p|r\d+d),.*\(', r'(call|ret|syscall)', 0x53053053),
}


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class Library:
    def __init__(self, path, readelf, objdump):
        self.objdump = [objdump, '-d', '--no-show-raw-insn', path]
        with open(path, 'rb') as file:
            self.bytes = file.read()
        headers = run(readelf, '-hSrW', path)
        self.processor = next(name for name in PROCESSORS if re.search(rf'Machine:.*{name}', headers))
        # name -> (address, offset, size)
        self.sections = {name: tuple(int(number, 16) for number in numbers) for name, *numbers in re.findall(
            r'\] (\S+)\s+\w+\s+([0-9a-f]{16}) ([0-9a-f]+) ([0-9a-f]+)', headers)}
        self.relocated = {int(at, 16): int(value, 16) for at, value in re.findall(
            r'^([0-9a-f]+)\s+\S+ R_\w+_RELATIVE\s+([0-9a-f]+)', headers, re.MULTILINE)}

    def read(self, section, address, size):
        start, offset, length = self.sections[section]
        assert start <= address and address + size <= start + length
        return self.bytes[offset + address - start:offset + address - start + size]

    def descriptors(self):
        """(start, length, handler) of each, found by its form: zero, pointer, small number, pointer."""
        address, _, size = self.sections['.data.rel.ro']
        for at in range((address + 31) & ~31, address + size - DESCRIPTOR.size + 1, DESCRIPTOR.size):
            version, flags, _, length, _ = DESCRIPTOR.unpack(self.read('.data.rel.ro', at, DESCRIPTOR.size))
            pointers = [self.relocated.get(at + field) for field in (0, 8, 16, 24)]
            if version == flags == 0 and pointers[1] and pointers[3] and not pointers[0] and not pointers[2]:
                yield pointers[1], length, pointers[3]

    def instructions(self, start, length):
        """(address, text) of each."""
        text = run(*self.objdump, f'--start-address={start}', f'--stop-address={start + length}')
        return [(int(address, 16), ' '.join(instruction.split())) for address, instruction in re.findall(
            r'^\s*([0-9a-f]+):\s+(\S.*)$', text, re.MULTILINE)]


def check(library, start, length, handler):
    store, leave, signature = PROCESSORS[library.processor]
    if length == 0:
        return ['has no instruction']
    # One instruction more, to see that the end is the end of one.
    instructions = library.instructions(start, length + 1)
    inside = [text for address, text in instructions if address < start + length]
    problems = []
    if not any(address == start + length for address, _ in instructions):
        problems.append('ends within an instruction')
    if not re.match(store, inside[-1]):
        problems.append(f'ends with "{inside[-1]}", which is no commit')
    if sum(bool(re.match(store, text)) for text in inside) != 1:
        problems.append('does not have one commit')
    problems += [f'has "{text}"' for text in inside if re.match(leave, text)]
    if start <= handler <= start + length:
        problems.append('has its handler inside')
    if struct.unpack('<I', library.read('.text', handler - 4, 4))[0] != signature:
        problems.append('has a handler without the signature')
    return problems


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('library')
    parser.add_argument('--readelf', default='readelf')
    parser.add_argument('--objdump', default='objdump')
    options = parser.parse_args()

    library = Library(options.library, options.readelf, options.objdump)
    descriptors = list(library.descriptors())
    failures = 0
    for start, length, handler in descriptors:
        problems = check(library, start, length, handler)
        print(f'{start:#x}, {length} bytes: {"; ".join(problems) or "good"}')
        failures += bool(problems)
    # Of each of the four at least one.
    if len(descriptors) < 4:
        print(f'only {len(descriptors)} descriptors')
        failures += 1
    return 1 if failures else 0


if __name__ == '__main__':
    sys.exit(main())
