#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
"""Writes the tables of proofs into a document, from what the runs of tools/prove.sh printed.

usage: prove_table.py FOLDER_OF_LOGS DOCUMENT

All numbers in the tables are sums or maxima of those in the lines "covered: KEY=VALUE ...", "work: KEY=VALUE ..." and
"churn: KEY=VALUE ...".
"""
import pathlib
import re
import sys

BEGIN, END = '<!-- begin of what tools/prove.sh writes -->\n', '<!-- end of what tools/prove.sh writes -->\n'


def rows_of(folder, kind):
    """A dictionary for each line of that kind; of which variant is in the log's name."""
    for log in sorted(folder.glob('*.log')):
        for line in log.read_text(encoding='utf-8', errors='replace').splitlines():
            if line.startswith(kind + ': '):
                pairs = dict(pair.split('=', 1) for pair in line.split()[1:])
                yield {'variant': log.stem.rpartition('-')[2], 'threads': '1', **pairs}


def number(row, key):
    return int(row.get(key, 0))


def table(head, rows):
    lines = ['| ' + ' | '.join(head) + ' |', '|' + '---|' * len(head)]
    lines += ['| ' + ' | '.join(str(cell).replace('_', '\\_') for cell in row) + ' |' for row in rows]
    return '\n'.join(lines) + '\n'


def grouped(rows, keys):
    groups = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    return groups


def summary(covered):
    keys = 'proof', 'threads', 'variant', 'way', 'extent'
    for (proof, threads, variant, way, extent), rows in sorted(grouped(covered, keys).items()):
        sums = [sum(number(row, key) for row in rows)
                for key in ('instructions', 'in_sections', 'boundaries', 'runs', 'handlers', 'pairs')]
        most = [max(number(row, key) for row in rows) for key in ('missing_blocks', 'missing_chunks', 'hidden_chunks')]
        states = len({(row['call'], row['state']) for row in rows})
        yield (proof + (', two' if threads == '2' else ''), variant, way, extent, states, *sums, *most)


def by_state(covered):
    for (call, state, variant, way), rows in grouped(covered, ('call', 'state', 'variant', 'way')).items():
        counts = []
        for proof in ('interrupted', 'frozen', 'killed', 'forked'):
            counts.append(sum(number(row, 'runs') for row in rows if row['proof'] == proof))
        yield (call, state, variant, way, max(number(row, 'instructions') for row in rows), *counts)


def most_work(work):
    for (call, state, variant), rows in grouped(work, ('call', 'state', 'variant')).items():
        yield (call, state, variant, sum(number(row, 'calls') for row in rows),
               max(number(row, 'most') for row in rows), max(number(row, 'most_with_system_call') for row in rows))


def main_shares(row):
    """Of 'FUNCTION:TIMES:SHARE,...': 'FUNCTION SHARE %, ...', without what is next to nothing."""
    shares = [share.split(':') for share in row.get('in', '').split(',') if share]
    return ', '.join(f'{function} {percent.rstrip("%")} %' for function, _, percent in shares
                     if int(percent.rstrip('%')) >= 5)


def quantiles(churn):
    for row in churn:
        yield (*(row[key] for key in ('call', 'variant', 'system_call', 'calls', 'p50', 'p99', 'p99.99', 'most')),
               main_shares(row))


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    folder, document = map(pathlib.Path, sys.argv[1:])
    text = document.read_text(encoding='utf-8')
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        sys.exit(f'{document}: the lines between which the tables belong are missing:\n{BEGIN}{END}')
    covered = list(rows_of(folder, 'covered'))
    parts = [
        table(('proof', 'variant', 'by', 'tried', 'calls and states', 'instructions of these', 'in sections',
               'boundaries tried', 'runs', 'handlers', 'pairs', 'most blocks missing', 'most chunks missing',
               'most chunks not found'),
              summary(covered)),
        table(('call', 'state', 'variant', 'by', 'instructions', 'interrupted', 'frozen', 'killed', 'forked'),
              by_state(covered)),
        table(('call', 'state', 'variant', 'calls counted', 'most instructions', 'most, with system calls'),
              most_work(list(rows_of(folder, 'work')))),
        table(('call', 'variant', 'with a system call', 'calls', 'half of them up to', '99 %', '99.99 %', 'most',
               'of these'),
              quantiles(rows_of(folder, 'churn'))),
    ]
    tables = re.sub(r'\n+$', '\n', '\n'.join(parts))
    before, rest = text.split(BEGIN)
    document.write_text(f'{before}{BEGIN}\n{tables}\n{END}{rest.split(END)[1]}', encoding='utf-8')


if __name__ == '__main__':
    main()
