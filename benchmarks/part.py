"""The command line that all benchmarks of one part share, and a process of its own for each of them.

Such a module has `measure(...) -> Result`, which prints each figure, and a `main` that calls `run`.
"""

import multiprocessing
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.figures import Result, save
from benchmarks.machine import commit, machine


def arguments(description: str | None) -> ArgumentParser:
    """What every part takes."""
    parser = ArgumentParser(description=description, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--save", action="store_true", help="keep the figures in benchmarks/results")
    return parser


def run(measure: Callable[[], Result], *, keep: bool) -> None:
    """Measure, keep the figures if that is wanted, and end the process: 1 when a target was missed."""
    context = {
        "command": " ".join([f"python -m benchmarks.{Path(sys.argv[0]).stem}", *sys.argv[1:]]),
        "commit": commit(),
        "machine": machine(),
    }
    result = measure()
    if keep:
        print(f"→ {save(result, context)}")
    sys.exit(1 if result.misses else 0)


def measure_apart(name: str, given: dict[str, Any]) -> Result:
    """The part's figures, measured in a process that has done nothing before."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measure, name, given).result()


def _measure(name: str, given: dict[str, Any]) -> Result:
    sys.modules["__main__"].__file__ = __file__  # else DuckDB takes this for a terminal, and draws progress bars
    result: Result = import_module(f"benchmarks.{name}").measure(**given)
    return result
