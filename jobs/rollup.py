"""Counts closed days, weeks and months around dirty dates: `python -m jobs.rollup`. By the schedule, and by hand."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

from jobs.run import run
from jobs.units import for_each_unit
from pistats.clock import now_ms
from pistats.jobs.job import Job
from pistats.sites import Site, SiteStore
from pistats.warehouse.expire import oldest_dates
from pistats.warehouse.rollup import AROUND, Counted, Rollups, Unit, count_unit
from pistats.warehouse.rollup_files import RollupStore
from pistats.warehouse.source import EventSource
from pistats.warehouse.storage import Storage


async def rollup(job: Job) -> dict[str, Any]:
    """Bring one group's rollups up to date."""
    root = job.settings.warehouse_root
    rollups = Rollups(
        RollupStore(job.group), EventSource(job.group, job.system, root), Storage(root), job.group_name, job.run_id,
        count=count_on_the_cluster,
    )  # fmt: skip
    sites = [site for site in await SiteStore(job.system).list() if job.arguments.site in (None, site.name)]
    kept = await oldest_dates(job.system, now_ms())
    oldest = {site.name: first_whole_day(kept.get(site.name)) for site in sites}
    days = {site.name: await _days(job, rollups, site, oldest[site.name]) for site in sites}
    job.progress.begin("rollups written", None)
    written = 0
    for site in sites:
        written += await rollups.run(
            site, days[site.name], oldest=oldest[site.name], done=lambda _: job.progress.advance(1)
        )
    return {"rollups": written, "days": sum(len(found) for found in days.values())}


async def _days(job: Job, rollups: Rollups, site: Site, oldest: date | None) -> list[date]:
    return await rollups.days_to_count(site, job.arguments.from_date, job.arguments.to_date, oldest=oldest)


def first_whole_day(oldest: str | None) -> date | None:
    """The first day of a site of which, and around which, every event is kept. `oldest`: the first UTC date kept."""
    return None if oldest is None else date.fromisoformat(oldest) + timedelta(days=AROUND)


def count_on_the_cluster(units: Sequence[Unit]) -> list[Counted]:
    """Each unit as a task."""
    return for_each_unit(units, count_unit)


def main() -> None:
    run("rollup", rollup)


if __name__ == "__main__":
    main()
