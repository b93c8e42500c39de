"""Counts all retention cohorts from the warehouse: `python -m jobs.retention [--verify]`. Daily, by the schedule.

Writes them as a Parquet file per site, listed in `rollups`. `--verify` prints every cell that the consumers have
counted otherwise in real time.
"""

import asyncio
from typing import Any

import pyarrow as pa

from jobs.run import run
from jobs.units import for_each_unit
from pistats.clock import now_ms
from pistats.jobs.job import Job
from pistats.sites import Site, SiteStore
from pistats.warehouse.activity import activity_until
from pistats.warehouse.cohort_cells import (
    CELLS_SCHEMA,
    Difference,
    cells_of,
    cells_table,
    count_cohort_unit,
    differences,
    live_cells,
    questions,
    units_of,
)
from pistats.warehouse.periods import day_of_ms
from pistats.warehouse.rollup_files import RollupStore, write_cohorts
from pistats.warehouse.source import EventSource
from pistats.warehouse.storage import Storage

LISTED = 100
"""Differences that are named one by one in the result of a run."""


async def retention(job: Job) -> dict[str, Any]:
    """Count one group's cohorts."""
    sites = [site for site in await SiteStore(job.system).list() if job.arguments.site in (None, site.name)]
    found: list[Difference] = []
    cells = 0
    for site in job.progress.track(sites, "sites counted", len(sites)):
        rows, different = await _count(job, site)
        cells += rows
        found += different
    if "--verify" not in job.arguments.options:
        return {"cells": cells}
    return {"cells": cells, "differences": len(found), "different": [str(one) for one in found[:LISTED]]}


async def _count(job: Job, site: Site) -> tuple[int, list[Difference]]:
    storage = Storage(job.settings.warehouse_root)
    store = RollupStore(job.group)
    source = EventSource(job.group, job.system, job.settings.warehouse_root)
    now = now_ms()
    today = day_of_ms(site.timezone, now)
    activity, events = await activity_until(source, store, storage, site.name, site.timezone, today)
    if activity.first is None:
        return 0, []
    through = now if events.complete_through is None else min(now, events.complete_through)
    live = await live_cells(job.group, site.name) if "--verify" in job.arguments.options else {}
    tables = [CELLS_SCHEMA.empty_table()]
    found: list[Difference] = []
    for question in questions(site.timezone, activity.first, today).values():
        counted = await asyncio.to_thread(for_each_unit, units_of(activity, question), count_cohort_unit)
        tables.append(cells_table(question, counted, through))
        if "--verify" in job.arguments.options:
            found += differences(site.name, question, cells_of(question, counted), live, through)
    table = pa.concat_tables(tables)
    await write_cohorts(store, storage, job.group_name, site.name, table, job.run_id)
    return table.num_rows, found


def main() -> None:
    run("retention", retention, options=("--verify",))


if __name__ == "__main__":
    main()
