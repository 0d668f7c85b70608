"""CPython's managers: reads `shape times` line by line, and answers with the nanoseconds that it took."""

import multiprocessing
import sys
import time
from multiprocessing.managers import BaseManager
from multiprocessing.managers import IteratorProxy
from statistics import median

PROCESSES = 8
BLOB = bytes(range(256)) * 4096
clock = time.perf_counter_ns


class Counter:
    def __init__(self, start=0):
        self.count = start

    def add(self, k):
        self.count += k
        return self.count

    def numbers(self, to):
        return iter(range(to))

    def blob(self):
        return BLOB


class Manager(BaseManager):
    pass


Manager.register('Iterator', proxytype=IteratorProxy, create_method=False)
Manager.register('Counter', Counter, method_to_typeid={'numbers': 'Iterator'})


def caller(counter, line):
    """A client process: makes so many calls, and says when it began and ended."""
    while times := line.recv():
        start = clock()
        for _ in range(times):
            counter.add(1)
        line.send((start, clock()))


def call(manager, counter, times):
    series = []
    for _ in range(times):
        start = clock()
        counter.add(1)
        series.append(clock() - start)
    return int(median(series) * times)


def create(manager, counter, times):
    start = clock()
    for _ in range(times):
        manager.Counter(0)
    return clock() - start


def numbers(manager, counter, times):
    start = clock()
    count = sum(1 for _ in counter.numbers(times))
    took = clock() - start
    assert count == times
    return took


def blob(manager, counter, times):
    start = clock()
    for _ in range(times):
        assert len(counter.blob()) == len(BLOB)
    return clock() - start


def main():
    context = multiprocessing.get_context('fork')
    with Manager(ctx=context) as manager:
        counter = manager.Counter(0)
        lines = []
        for _ in range(PROCESSES):
            near, far = context.Pipe()
            context.Process(target=caller, args=(counter, far), daemon=True).start()
            lines.append(near)

        def at_once(manager, counter, times):
            share = -(-times // PROCESSES)
            for line in lines:
                line.send(share)
            spans = [line.recv() for line in lines]
            took = max(end for _, end in spans) - min(start for start, _ in spans)
            return took * times // (share * PROCESSES)

        shapes = {'call': call, 'at once': at_once, 'create': create, 'numbers': numbers, 'blob': blob}
        for line in sys.stdin:
            shape, times = line.rsplit(' ', 1)
            print(shapes[shape](manager, counter, int(times)), flush=True)


main()
