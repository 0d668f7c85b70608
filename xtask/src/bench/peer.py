"""Measures Python ProxyStore: the shapes that `cargo xtask bench` measures of ours, under the same names."""

import json
import pickle
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from proxystore.connectors.file import FileConnector
from proxystore.connectors.local import LocalConnector
from proxystore.connectors.redis import RedisConnector
from proxystore.proxy import Proxy
from proxystore.proxy import is_resolved
from proxystore.proxy import resolve
from proxystore.store import Store
from proxystore.store import register_store

OUTPUT = Path(sys.argv[1])
QUICK = '--quick' in sys.argv
SECONDS = 0.3 if QUICK else 2.0
SIZES = [1 << 10, 1 << 20, 100 << 20]
if not QUICK:
    SIZES = [10, 1 << 10, 10 << 10, 100 << 10, 1 << 20, 10 << 20, 100 << 20]
TURNS = 20
ROOT = Path(__file__).resolve().parents[3]
figures = []


def keep(place, shape, bytes_, series, unit='ns'):
    """Adds a figure."""
    series = sorted(series)
    at = lambda quarter: series[min(len(series) * quarter // 4, len(series) - 1)]
    spread = {'low': at(1), 'median': at(2), 'high': at(3), 'count': len(series)}
    figures.append({'place': place, 'shape': shape, 'bytes': bytes_, 'unit': unit, 'ours': spread})
    print(f'{place}/{shape}/{bytes_ or ""} {spread["median"]:.0f} {unit}', flush=True)


def timed(work, clean=lambda made: None):
    """Nanoseconds of each turn. What is made is removed outside of the time."""
    start = time.perf_counter_ns()
    clean([work()])
    once = max(time.perf_counter_ns() - start, 100)
    times = max(1, min(100_000, int(SECONDS * 1e9 / TURNS / once)))
    series = []
    for _ in range(TURNS if once < SECONDS * 1e8 else 5):
        made = []
        start = time.perf_counter_ns()
        for _ in range(times):
            made.append(work())
        series.append((time.perf_counter_ns() - start) / times)
        clean(made)
    return series


def free(work):
    """The same, where nothing is to be removed and what comes is dropped at once."""
    def run():
        work()

    return timed(run)


def objects(place, store):
    for size in SIZES:
        value = random.Random(size).randbytes(size)
        evict = lambda keys: [store.evict(key) for key in keys]
        keep(place, 'put', size, timed(lambda: store.put(value), evict))
        key = store.put(value)
        keep(place, 'get', size, free(lambda: store.get(key)))
        drop = lambda proxies: [store.evict(proxy.__proxy_factory__.key) for proxy in proxies]
        keep(place, 'proxy', size, timed(lambda: store.proxy(value, populate_target=False), drop))
        keep(place, 'resolve', size, free(lambda: resolve(store.proxy_from_key(key))))
        store.evict(key)
    keep(place, 'miss', None, free(lambda: store.get(key)))
    values = [random.Random(1).randbytes(1024)] * 1000
    clean = lambda batches: [store.evict(key) for keys in batches for key in keys]
    keep(place, 'put 1,000', 1024, timed(lambda: store.put_batch(values), clean))
    keys = store.put_batch(values)
    keep(place, 'get 1,000', 1024, free(lambda: [store.get(key) for key in keys]))


def wake(name, store):
    """From the set to the value in hand, with the polling that is the default."""
    series = []
    for _ in range(5 if QUICK else 20):
        future = store.future()
        woken = []

        def wait(future=future, woken=woken):
            future.result()
            woken.append(time.perf_counter_ns())

        waiting = threading.Thread(target=wait)
        waiting.start()
        # A moment that no polling is in step with.
        time.sleep(0.3 + random.random())
        start = time.perf_counter_ns()
        future.set_result(7)
        waiting.join()
        series.append(woken[0] - start)
    for how in ['tasks', 'processes']:
        keep('wake', f'{name}, between {how}', None, series)


def proxies():
    store = Store('proxies', LocalConnector())
    register_store(store)
    value = random.Random(1).randbytes(1024)
    key = store.put(value)
    store.get(key)
    keep('proxy', 'cache hit', None, free(lambda: store.get(key)))
    proxy = Proxy(lambda: value)
    resolve(proxy)
    assert is_resolved(proxy)
    keep('proxy', 'get of a resolved one', None, free(lambda: len(proxy)))


def references(port):
    store = Store('images', RedisConnector('127.0.0.1', port))
    proxy = store.proxy(b'1', populate_target=False)
    data = pickle.dumps(proxy)
    for how in ['by name', 'with a spec']:
        keep('reference', f'size {how}', None, [len(data)], 'bytes')
    keep('reference', 'encode', None, free(lambda: pickle.dumps(proxy)))
    keep('reference', 'decode', None, free(lambda: pickle.loads(data)))
    keep('reference', 'encode and decode', None, free(lambda: pickle.loads(pickle.dumps(proxy))))


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def main():
    port = free_port()
    server = subprocess.Popen(
        ['redis-server', '--port', str(port), '--save', '', '--appendonly', 'no'],
        stdout=subprocess.DEVNULL,
    )
    time.sleep(0.5)
    try:
        proxies()
        references(port)
        with (
            tempfile.TemporaryDirectory(dir=ROOT / 'target') as disk,
            tempfile.TemporaryDirectory(dir='/dev/shm') as memory,
        ):
            places = {
                'local': LocalConnector(),
                'file': FileConnector(disk),
                'file-memory': FileConnector(memory),
                'redis': RedisConnector('127.0.0.1', port),
            }
            for place, connector in places.items():
                store = Store(place, connector, cache_size=0)
                register_store(store)
                objects(place, store)
                if place != 'file-memory':
                    wake(place, store)
    finally:
        server.kill()
        server.wait()
    version = sys.version.split()[0]
    OUTPUT.write_text(json.dumps({'machine': {'python': version}, 'figures': figures}, indent=2))


main()
