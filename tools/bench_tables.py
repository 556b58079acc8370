#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
"""Prints Markdown tables of one or more CSV files of aomalloc-bench: medians of time for each number of threads,
the most that was resident, and memory of phases as multiples of the live bytes."""
import argparse
import csv
import sys

NAMES = {'reference': 'libatomic_ops'}


def number(text):
    value = float(text)
    return f'{value:.0f}' if value >= 100 else f'{value:.1f}' if value >= 10 else f'{value:.2f}'


def table(heading, columns, rows):
    print(f'| {heading} | ' + ' | '.join(NAMES.get(column, column) for column in columns) + ' |')
    print('|---' * (len(columns) + 1) + '|')
    for name, cells in rows:
        print(f'| {name} | ' + ' | '.join(cells.get(column, '') for column in columns) + ' |')
    print()


def in_order(lines, key):
    return list(dict.fromkeys(line[key] for line in lines))


def select(lines, row_key, metric, **wanted):
    rows = {}
    for line in lines:
        if line['metric'] == metric and all(line[key] == value for key, value in wanted.items()):
            rows.setdefault(line[row_key], {})[line['allocator']] = number(line['median'])
    return list(rows.items())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('csv', nargs='+', help='what aomalloc-bench --csv wrote')
    lines = []
    for path in parser.parse_args().csv:
        try:
            with open(path, newline='', encoding='utf-8') as file:
                lines += list(csv.DictReader(file))
        except OSError as error:
            sys.exit(f'{parser.prog}: {error}')
    if not lines or 'metric' not in lines[0]:
        sys.exit(f'{parser.prog}: no results of aomalloc-bench in there')
    columns = in_order(lines, 'allocator')
    for threads in in_order(lines, 'threads'):
        rows = [row for row in select(lines, 'workload', 'ns_per_op', threads=threads) if 'phases' not in row[0]]
        if rows:
            table(f'ns, {threads} thread{"s" if threads != "1" else ""}', columns, rows)
    rows = []
    for threads in in_order(lines, 'threads'):
        for workload, cells in select(lines, 'workload', 'peak_kib', threads=threads):
            if 'phases' not in workload:
                rows.append((f'{workload}, {threads}', cells))
    if rows:
        table('most resident, KiB; threads', columns, rows)
    for workload in ('phases', 'phases-mixed'):
        rows = []
        for metric, what in (('peak_per_live', 'peak'), ('end_per_live', 'all freed'),
                             ('trimmed_per_live', 'after trim')):
            rows += [(what, cells) for _, cells in select(lines, 'workload', metric, workload=workload, threads='1')]
        if rows:
            table(f'{workload}, resident / live', columns, rows)


if __name__ == '__main__':
    main()
