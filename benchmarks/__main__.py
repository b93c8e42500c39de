"""Runs the benchmarks, prints their figures and keeps them in benchmarks/results.

    python -m benchmarks                        # all, 35 minutes
    python -m benchmarks --quick                # the whole system's only, briefly: does everything still run?
    python -m benchmarks single_events idle     # only these

`stream`, `enrich`, `ingest`, `consumer`, `archive` and `backfill` measure one part in a process of its own; `idle`,
`single_events`, `end_to_end`, `freshness`, `viewers` and `replay` measure one running system, in this order.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import end_to_end, freshness, idle, replay, single_events, viewers
from benchmarks.figures import RESULTS, Result, save
from benchmarks.machine import commit, machine
from benchmarks.part import measure_apart
from benchmarks.running_system import attached, running_system

PARTS: dict[str, dict[str, Any]] = {
    "stream": {"records": 500_000, "window": 2_000_000},
    "enrich": {},
    "ingest": {},
    "consumer": {},
    "warehouse_queries": {},
    "archive": {},
    "backfill": {},
}
"""Measured in a process of their own, with these arguments of their `measure`."""
WHOLE: dict[str, Callable[..., Result]] = {
    "idle": idle.measure,
    "single_events": single_events.measure,
    "end_to_end": end_to_end.measure,
    "freshness": freshness.measure,
    "viewers": viewers.measure,
    "replay": replay.measure,
}


def main() -> int:
    """Run what was asked for. 1 when a target was missed or a benchmark failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join((*PARTS, *WHOLE))}; none: all")
    parser.add_argument("--quick", action="store_true", help="short runs, whose figures mean little")
    parser.add_argument("--directory", type=Path, help="where the system stores (default: the temporary directory)")
    parser.add_argument("--data", type=Path, help="measure the system that runs on this data directory instead")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the figures go")
    chosen = parser.parse_args()
    unknown = [name for name in chosen.names if name not in PARTS and name not in WHOLE]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}")
    names = chosen.names or [*(PARTS if not chosen.quick else ()), *WHOLE]
    context = {
        "command": " ".join(["python -m benchmarks", *sys.argv[1:]]),
        "commit": commit(),
        "machine": machine(),
        "quick": chosen.quick,
    }
    console = Console()
    console.print(context)
    failed = False
    for result in _results(names, chosen.quick, chosen.directory, chosen.data):
        path = save(result, context, chosen.results)
        console.print(_table(result))
        for line in result.details.get("processes", ()):
            console.print(line, markup=False, highlight=False, soft_wrap=True)
        console.print(f"→ {path}\n")
        failed = failed or result.misses
    return 1 if failed else 0


def _results(names: Sequence[str], quick: bool, directory: Path | None, data: Path | None) -> Iterator[Result]:
    """Each result as soon as it is there: first the parts, then the whole system, which is started once."""
    for name in PARTS:
        if name in names:
            yield measure_apart(name, PARTS[name])
    if any(name in names for name in WHOLE):
        with nullcontext(attached(data)) if data else running_system(directory) as system:
            for name, measure in WHOLE.items():
                if name in names:
                    yield measure(system, quick=quick)


def _table(result: Result) -> Table:
    table = Table(title=result.benchmark, title_justify="left")
    table.add_column("Figure")
    table.add_column("Value", justify="right")
    table.add_column("Unit")
    table.add_column("Target")
    for figure in result.figures:
        table.add_row(figure.name, f"{figure.value:,.10g}", figure.unit, figure.verdict)
    return table


if __name__ == "__main__":
    sys.exit(main())
