"""Data retention: a site's events go when they are older than it keeps them (`keep_days`). Rollups and counts stay.

Whole UTC dates go, so an event is kept for at least `keep_days` and at most a day longer. Nothing of a date that is
gone comes back: the archive leaves such late events out, and rollups of these dates must not be made again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial

import numpy as np
import pyarrow as pa
from pymongo.asynchronous.client_session import AsyncClientSession

from pistats.clock import Clock, now_ms
from pistats.mongo.indexes import Database
from pistats.mongo.sessions import transaction
from pistats.warehouse.manifest import Manifest, SupersededError, WarehouseFile
from pistats.warehouse.writer import date_of

FILES_AT_ONCE = 1_000
"""Taken off the list by one transaction."""


def oldest_date(keep_days: int | None, now: int) -> str | None:
    """The first UTC date that is kept at this time (Unix ms); None: all are."""
    if keep_days is None:
        return None
    return (date.fromisoformat(date_of(now)) - timedelta(days=keep_days)).isoformat()


async def oldest_dates(system: Database, now: int, *, session: AsyncClientSession | None = None) -> dict[str, str]:
    """The first UTC date that is kept at this time (Unix ms), by site; sites that keep everything are not there."""
    sites = system["sites"].find({"keep_days": {"$ne": None}}, {"keep_days": 1}, session=session)
    dates = {site["_id"]: oldest_date(site["keep_days"], now) async for site in sites}
    return {site: first for site, first in dates.items() if first is not None}


def without_expired(events: pa.Table, oldest: Mapping[str, str]) -> pa.Table:
    """The events of dates that their sites keep, in order. Needs the columns site and event_time."""
    if not oldest or events.num_rows == 0:
        return events
    sites = events["site"].combine_chunks().dictionary_encode()
    first = [_start_ms(oldest[site]) if site in oldest else -(2**63) for site in sites.dictionary.to_pylist()]
    kept = events["event_time"].to_numpy() >= np.array(first, np.int64)[sites.indices.to_numpy()]
    return events if kept.all() else events.filter(pa.array(kept))


def _start_ms(day: str) -> int:
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() * 1000)


@dataclass(frozen=True, slots=True)
class Expired:
    """What a run has taken off the list."""

    files: int = 0
    events: int = 0
    bytes: int = 0


class Expiry:
    """Takes files of expired dates off one group's list; the sweep deletes them. May be repeated, and end anywhere."""

    def __init__(self, group: Database, system: Database, clock: Clock = now_ms) -> None:
        self._group = group
        self._system = system
        self._manifest = Manifest(group)
        self._clock = clock

    async def run(self) -> Expired:
        """Take off what has expired by now. Files that another run changes meanwhile are left to the next one."""
        oldest = await oldest_dates(self._system, self._clock())
        gone = [file for file in await self._manifest.files() if file.date < oldest.get(file.site, "")]
        total = Expired()
        for start in range(0, len(gone), FILES_AT_ONCE):
            files = gone[start : start + FILES_AT_ONCE]
            try:
                await transaction(self._group, partial(self._take_off, files))
            except SupersededError:
                continue
            total = Expired(
                total.files + len(files),
                total.events + sum(file.rows for file in files),
                total.bytes + sum(file.bytes for file in files),
            )
        return total

    async def _take_off(self, files: list[WarehouseFile], session: AsyncClientSession) -> None:
        await self._manifest.swap(files, [], self._clock(), session)
        dates = [{"site": site, "date": day} for site, day in sorted({(file.site, file.date) for file in files})]
        # Else the rollups would be made again, from nothing.
        await self._group["dirty_dates"].delete_many({"_id": {"$in": dates}}, session=session)
