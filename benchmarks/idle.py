"""What the whole system costs when nothing happens: memory and processor, per process.

Memory is PSS (a page that several processes share counts once, in shares), summed over the process tree of `pistats up`
with the dashboard, without demo and without a viewer. Processor is per cent of one core.
"""

import time
from dataclasses import dataclass

import psutil

from benchmarks.figures import Figure, Result, Target
from benchmarks.processes import cpu_s, name_of
from benchmarks.running_system import System


@dataclass(frozen=True, slots=True)
class Usage:
    """One process, over the time of the measurement."""

    name: str
    pss_mb: float
    cpu_percent: float


def measure(system: System, *, quick: bool) -> Result:
    """Wait until the start is over, then watch."""
    time.sleep(5 if quick else 30)
    usages = usage_of(system.processes(), 10 if quick else 60)
    memory_gb = sum(usage.pss_mb for usage in usages) / 1e3
    cpu = sum(usage.cpu_percent for usage in usages)
    return Result(
        "idle",
        [
            Figure("memory (PSS)", round(memory_gb, 2), "GB", Target("<=", 2.5)),
            Figure("processor", round(cpu, 1), "% of a core", Target("<=", 10)),
            Figure("processes", len(usages), ""),
        ],
        {
            "processes": [
                f"{usage.name:32}{usage.pss_mb:8.1f} MB{usage.cpu_percent:7.2f} %"
                for usage in sorted(usages, key=lambda usage: -usage.cpu_percent)
            ]
        },
    )


def usage_of(processes: list[psutil.Process], seconds: float) -> list[Usage]:
    """Processor time over `seconds` and memory at their end; processes that end in between are left out."""
    start = time.monotonic()
    before = {process: cpu_s(process) for process in processes}
    time.sleep(seconds)
    elapsed = time.monotonic() - start
    usages = []
    for process, earlier_s in before.items():
        try:
            percent = 100 * (cpu_s(process) - earlier_s) / elapsed
            pss_mb = process.memory_full_info().pss / 1e6
            usages.append(Usage(name_of(process), pss_mb, percent))
        except psutil.NoSuchProcess:
            continue
    return usages
