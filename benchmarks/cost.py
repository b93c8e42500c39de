"""What one step of a benchmark costs: wall time, processor time and memory, of this process and its helpers."""

import resource
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count

import psutil

SAMPLE_S = 0.05
SAMPLES_PER_LISTING = 20
"""Listing this process's children looks at every process of the machine: some milliseconds."""


@dataclass(slots=True)
class Cost:
    """Of one step; known when it is over. Its helpers are the processes that it has started and ended, not mongod."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_mb: float = 0.0
    """The highest memory of this process beyond what it had before, and all of its helpers'."""


@contextmanager
def measured() -> Iterator[Cost]:
    """Measures what happens within the block."""
    process, cost, ended = psutil.Process(), Cost(), threading.Event()
    others = set(process.children())
    before = process.memory_info().rss

    def watch() -> None:
        for number in count():
            if ended.wait(SAMPLE_S):
                return
            if number % SAMPLES_PER_LISTING == 0:
                helpers = set(process.children()) - others
            resident = process.memory_info().rss - before + sum(map(_resident, helpers))
            cost.peak_mb = max(cost.peak_mb, resident / 1e6)

    watcher = threading.Thread(target=watch)
    watcher.start()
    wall, cpu = time.perf_counter(), processor_s()
    try:
        yield cost
    finally:
        cost.wall_s, cost.cpu_s = time.perf_counter() - wall, processor_s() - cpu
        ended.set()
        watcher.join()


def processor_s() -> float:
    """Of this process and those of its children that have ended."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0
