# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
"""Work for python3 whose output depends on nothing but the argument: how many rounds."""
import hashlib
import json
import multiprocessing
import random
import re
import subprocess
import sys
import threading
import zlib


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


def build(generator, depth):
    if depth == 0:
        return generator.choice([None, True, 1.5, generator.random(), 'x' * generator.randrange(100)])
    if generator.random() < 0.5:
        return [build(generator, depth - 1) for _ in range(generator.randrange(1, 6))]
    return {f'key{generator.randrange(1000)}': build(generator, depth - 1) for _ in range(generator.randrange(1, 6))}


def documents(seed):
    generator = random.Random(seed)
    text = json.dumps([build(generator, 6) for _ in range(40)], sort_keys=True)
    assert json.dumps(json.loads(text), sort_keys=True) == text
    return digest(text)


def words(seed):
    generator = random.Random(seed)
    text = ' '.join(f'w{int(generator.paretovariate(0.5))}' for _ in range(10000))
    counts = {}
    for word in re.findall(r'w\d+', text):
        counts[word] = counts.get(word, 0) + 1
    packed = zlib.compress(text.encode(), 6)
    assert zlib.decompress(packed).decode() == text
    return digest(str(sorted(counts.items(), key=lambda item: (-item[1], item[0])))) + digest(packed.hex())


def threads(seed):
    results = [None] * 8

    def work(index):
        generator = random.Random(seed * 100 + index)
        table = {}
        for _ in range(2000):
            table[generator.randrange(1000)] = bytes(generator.randrange(3000))
        results[index] = sum(len(value) for value in table.values())

    started = [threading.Thread(target=work, args=(index,)) for index in range(len(results))]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    return results


def processes(seed):
    with multiprocessing.get_context('fork').Pool(2) as pool:
        results = pool.map(documents, range(seed, seed + 4))
    child = subprocess.run([sys.executable, '-c', 'print(sum(range(100000)))'], stdout=subprocess.PIPE, check=True)
    return results, child.stdout


def main():
    for seed in range(int(sys.argv[1])):
        for work in documents, words, threads, processes:
            print(seed, work.__name__, work(seed))


if __name__ == '__main__':
    main()
