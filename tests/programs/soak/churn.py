# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
"""Work for ever, with a bounded amount of data at any time: whatever grows is the allocator's."""
import json
import random
import sqlite3
import subprocess
import threading
import zlib

ENTRIES = 20000


def replace(table, generator):
    """Blocks of all sizes change places; the sum of their sizes hardly changes."""
    for _ in range(20000):
        table[generator.randrange(ENTRIES)] = bytes(int(min(generator.paretovariate(0.7) * 16, 4000)))
    table['large'] = bytearray(generator.randrange(1 << 20, 4 << 20))


def document(generator):
    text = json.dumps([{str(generator.random()): [generator.random()] * 10} for _ in range(2000)])
    assert json.loads(zlib.decompress(zlib.compress(text.encode()))) == json.loads(text)


def database(generator):
    connection = sqlite3.connect(':memory:')
    connection.execute('CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT)')
    connection.executemany('INSERT INTO item (name) VALUES (?)', ((str(generator.random()),) for _ in range(20000)))
    connection.execute('CREATE INDEX item_name ON item (name)')
    assert connection.execute('SELECT count(*) FROM item WHERE name > "0.5"').fetchone()[0] > 0
    connection.close()


def main():
    table = {}
    generator = random.Random(1)
    while True:
        works = [lambda: replace(table, random.Random(generator.random())), lambda: document(random.Random(1)),
                 lambda: database(random.Random(2))]
        generator.shuffle(works)
        threads = [threading.Thread(target=work) for work in works]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        subprocess.run(['true'], check=True)


if __name__ == '__main__':
    main()
