#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
"""Writes lib/size_class_table.h to standard output; the rules are stated in docs/design.md, "Size classes"."""

UNIT = 16
CHUNK = 8192
SMALL_LIMIT = 128      # 16-byte steps up to here
STEPS = 8              # per doubling above
LARGEST = 64 * 1024
LOOKUP_LIMIT = 16 * 1024
MAX_RUN_CHUNKS = 16
MAX_TAIL = 1 / 8        # of a run: more blocks in a run would make it empty more rarely
MAX_ROOMY_TAIL = 1 / 16 # of a roomy run
ROOMY_CHUNKS = 8
ROOMY_BLOCKS = 512     # bits in a descriptor


def class_sizes():
    sizes = list(range(UNIT, SMALL_LIMIT + 1, UNIT))
    base = SMALL_LIMIT
    while base < LARGEST:
        sizes += [base + base * step // STEPS for step in range(1, STEPS + 1)]
        base *= 2
    return sizes


def run_chunks(size):
    """The fewest chunks whose tail, which no block fills, is small enough."""
    return fewest_chunks(size, MAX_TAIL)


def fewest_chunks(size, max_tail):
    for chunks in range(-(-size // CHUNK), MAX_RUN_CHUNKS + 1):
        if (chunks * CHUNK) % size <= chunks * CHUNK * max_tail:
            return chunks
    raise SystemExit(f"no run of at most {MAX_RUN_CHUNKS} chunks suits {size} bytes")


def roomy_chunks(size):
    """The most chunks whose blocks a descriptor has bits for, with a smaller tail."""
    best = fewest_chunks(size, MAX_ROOMY_TAIL)
    for chunks in range(best, ROOMY_CHUNKS + 1):
        tail = (chunks * CHUNK) % size
        if chunks * CHUNK // size <= ROOMY_BLOCKS and tail <= chunks * CHUNK * MAX_ROOMY_TAIL:
            best = chunks
    return best


def rows(values, per_line):
    return [", ".join(values[i:i + per_line]) + "," for i in range(0, len(values), per_line)]


def main():
    sizes = class_sizes()
    lookup, current = [], 0
    for size in range(0, LOOKUP_LIMIT + 1, UNIT):
        while sizes[current] < size:
            current += 1
        lookup.append(str(current))
    print("/* SPDX-License-Identifier: MIT */")
    print("/* Copyright (c) The aomalloc developers */")
    print("\n/* Made by tools/size_classes.py; a test compares. */")
    print("/* AOMA_CLASS(bytes of a block, chunks of a run, chunks of a roomy run). */")
    print("/* clang-format off */")
    print(f"#define AOMA_CLASSES {len(sizes)}")
    print(f"#define AOMA_CLASS_MAX_BYTES {sizes[-1]}")
    print(f"#define AOMA_CLASS_LOOKUP_BYTES {LOOKUP_LIMIT}")
    print("#define AOMA_CLASS_LIST \\")
    print(" \\\n".join("    " + line.rstrip(",") for line in
                      [" ".join(f"AOMA_CLASS({s}, {run_chunks(s)}, {roomy_chunks(s)})" for s in sizes[i:i + 4])
                       for i in range(0, len(sizes), 4)]))
    print("#define AOMA_CLASS_LOOKUP_LIST \\")
    print(" \\\n".join("    " + line for line in rows(lookup, 24)))


if __name__ == "__main__":
    main()
