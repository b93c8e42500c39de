"""Rollups and cohorts counted as tasks on two nodes of a Ray cluster are the same numbers as those of one loop."""

import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from pistats.local.ray_head import quiet_environment, ray_auth, ray_token
from pistats.warehouse import cohort_cells, rollup
from pistats.warehouse.activity import Activity
from pistats.warehouse.cohort_cells import CohortUnit, count_cohort_unit
from pistats.warehouse.cohorts import CohortQuestion, add_counts
from pistats.warehouse.periods import SiteDays
from pistats.warehouse.rollup import Unit, count_unit
from pistats.warehouse.source import EventSet
from pistats.warehouse.storage import Storage
from pistats.warehouse.writer import FileWriter
from tests.contract.warehouse.test_rollups import BERLIN, FIRST, some_events
from tests.running_system import wait_for
from tests.table_events import SITE, table_of

pytestmark = pytest.mark.system

SCRIPT = Path(__file__).with_name("two_nodes.py")
LAST = FIRST + timedelta(days=13)
PARTS = [(low, low + 15) for low in range(0, 64, 16)]
"""Each of them a task."""


@pytest.fixture
def events(tmp_path: Path) -> EventSet:
    """Random events as the archive writes them: two weeks of files, and the last ones still in MongoDB."""
    storage = Storage(str(tmp_path / "warehouse"))
    archived, waiting = some_events(1_500, seed=21), some_events(300, seed=22, first=1_500)
    files = FileWriter(storage, "live", "run").write_events(table_of(archived).drop_columns("bucket"))
    paths = tuple(storage.location(file.path) for file in files)
    days = SiteDays(BERLIN.timezone, FIRST, LAST)
    return EventSet(SITE, paths, table_of(waiting), days.from_ms, days.to_ms, None, (), storage)


def on_two_nodes(directory: Path, *asked: tuple[Callable[[Any], Any], Sequence[Any]]) -> list[list[tuple[str, Any]]]:
    """Where each unit was worked at, and what it gave. Nothing of the cluster is left."""
    units, results = directory / "units", directory / "results"
    units.write_bytes(pickle.dumps(asked))
    with tempfile.TemporaryDirectory(prefix="pistats-two-") as sockets:  # a short path: Ray puts sockets there
        own = {**quiet_environment(), **ray_auth(ray_token(directory)), "RAY_TMPDIR": sockets}
        other = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "PISTATS_"))}
        done = subprocess.run(
            [sys.executable, str(SCRIPT), str(units), str(results)],
            env={**other, **own, "PYTHONPATH": str(SCRIPT.parents[2])},
            capture_output=True,
            text=True,
            timeout=240,  # busy cores start two nodes slowly
        )
        wait_for(lambda: not _processes_of(sockets), 10, "the cluster's processes have ended")
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    found: list[list[tuple[str, Any]]] = pickle.loads(results.read_bytes())
    return found


def _processes_of(directory: str) -> list[psutil.Process]:
    return [one for one in psutil.process_iter(["cmdline"]) if directory in " ".join(one.info["cmdline"] or ())]


def test_the_same_on_two_nodes_as_in_a_loop(tmp_path: Path, events: EventSet) -> None:
    day = Unit(events, SiteDays(BERLIN.timezone, FIRST, FIRST), (0, 63))
    rolled = [replace(day, buckets=buckets) for buckets in PARTS]
    range_ = SiteDays(BERLIN.timezone, FIRST, LAST)
    activity = Activity(events, (), (range_,), events.storage, FIRST)
    everybody = CohortUnit(activity, CohortQuestion(range_, "day"), (0, 63))
    cohorts = [replace(everybody, buckets=buckets) for buckets in PARTS]

    counted, returned = on_two_nodes(tmp_path, (count_unit, rolled), (count_cohort_unit, cohorts))

    for results in (counted, returned):
        assert len({node for node, _ in results}) == 2
    spread = [result for _, result in counted]
    loop = rollup.count_in_threads(rolled)
    assert [one.last_end for one in spread] == [one.last_end for one in loop]
    alone = rollup.add_up(FIRST, rollup.count_in_threads([day]))
    assert alone.sums.num_rows > 400
    for parts in (spread, loop):
        together = rollup.add_up(FIRST, parts)
        assert (together.sums, together.visitors, together.last_end) == (alone.sums, alone.visitors, alone.last_end)
    assert [result for _, result in returned] == cohort_cells.count_in_a_loop(cohorts)
    (once,) = cohort_cells.count_in_a_loop([everybody])
    assert sum(once.sizes.values()) > 10
    assert add_counts([result for _, result in returned]) == once
