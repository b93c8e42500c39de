"""The rollups of one consumer group: which periods are counted, in which files, and which of them still hold.

A rollup is one period of a site: a day, a week or a month in the site's zone. `rollups` lists them, one document each;
a file that no document names does not exist for readers. Rollups stay when the raw events they were made of are gone.

A file of sums has the columns of `SUMS_SCHEMA` (`dimension_sums`), by dimension, then time and value; dimension "" is
the totals. A day's file has its hours, too. A day also has a file of its visitors, each once, with what their events
had: so visitors of any range, by any dimension, are counted exactly.
"""

import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pymongo.asynchronous.client_session import AsyncClientSession

from pistats.enrich.session import GAP_MS
from pistats.mongo.indexes import Database
from pistats.mongo.sessions import transaction
from pistats.warehouse.engine import Connection, FoundEvents
from pistats.warehouse.measures import DIMENSIONS
from pistats.warehouse.periods import DAY_MS, Granularity, day_start_ms
from pistats.warehouse.storage import ROLLUPS, Storage

_DATE = re.compile(r"/date=(\d{4}-\d{2}-\d{2})/")

SEEN = pa.list_(pa.field("element", pa.int32(), nullable=False))

VISITORS_SCHEMA = pa.schema(
    [
        ("bucket", pa.uint8()),
        ("visitor_id", pa.string()),
        ("day", pa.int64()),
        *((dimension, SEEN) for dimension in DIMENSIONS),
    ]
)
"""`day` is since 1970-01-01, and the same in the whole file: files of many days are read as one. For each dimension the
values of the visitor's events: rows of the same day's sums of `day` by this dimension, counted from 0."""

FORMAT = 2
"""Of the files. 1, which a document may leave out: visitors without what their events had; the rest is the same. Days
whose raw events a site keeps no longer have that, too."""

LISTING_MS = 60_000
"""How far the clocks of two machines may be apart when files are compared with rollups by time."""


@dataclass(frozen=True, slots=True)
class Rollup:
    """One counted period. `marks`: the versions of the dirty dates around it, as they were before its events were read.

    `closes_at`: no event later than that (Unix ms) can change it, as its last session is over by then. `digest` is the
    same for the same numbers. `days`: of a week or month, the digests of its days. `format`: see `FORMAT`.
    """

    site: str
    granularity: Granularity
    start: date
    sums_path: str
    visitors_path: str | None
    rows: int
    bytes: int
    digest: str
    marks: dict[str, str]
    days: dict[str, str]
    read_time: int
    closes_at: int
    run_id: str
    format: int = FORMAT

    @property
    def has_seen(self) -> bool:
        """Whether its visitors can be counted by a dimension together with those of other days."""
        return self.format >= FORMAT

    def document(self) -> dict[str, Any]:
        """As `rollups` stores it."""
        return {
            "_id": {"site": self.site, "granularity": self.granularity, "start": self.start.isoformat()},
            **{name: getattr(self, name) for name in _STORED},
            "format": self.format,
            "marks": [list(mark) for mark in sorted(self.marks.items())],
            "days": [list(day) for day in sorted(self.days.items())],
        }

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> "Rollup":
        """Read what `document` gave."""
        key = document["_id"]
        return cls(
            site=key["site"],
            granularity=key["granularity"],
            start=date.fromisoformat(key["start"]),
            marks=dict(document["marks"]),
            days=dict(document["days"]),
            format=document.get("format", 1),
            **{name: document[name] for name in _STORED},
        )


_STORED = ("sums_path", "visitors_path", "rows", "bytes", "digest", "read_time", "closes_at", "run_id")


@dataclass(frozen=True, slots=True)
class DayState:
    """Which days of a range are counted by a rollup that holds, and which have to be counted from events.

    A day that is in neither has no events.
    """

    counted: dict[date, Rollup] = field(default_factory=dict)
    uncounted: tuple[date, ...] = ()


class RollupStore:
    """Reads and replaces the rollups of one group."""

    def __init__(self, group: Database) -> None:
        self._group = group
        self._rollups = group["rollups"]

    async def find(self, site: str, granularity: Granularity, from_date: date, to_date: date) -> dict[date, Rollup]:
        """The site's rollups that start from `from_date` to `to_date`, whether they still hold or not."""
        wanted = {
            "_id.site": site,
            "_id.granularity": granularity,
            "_id.start": {"$gte": from_date.isoformat(), "$lte": to_date.isoformat()},
        }
        found = [Rollup.from_document(document) async for document in self._rollups.find(wanted)]
        return {rollup.start: rollup for rollup in found}

    async def first_day(self, site: str) -> date | None:
        """The first day of the site that was ever counted."""
        found = await self._rollups.find_one(
            {"_id.site": site, "_id.granularity": "day"}, {"_id": 1}, sort=[("_id.start", 1)]
        )
        return None if found is None else date.fromisoformat(found["_id"]["start"])

    async def paths(self) -> set[str]:
        """Every file that is listed."""
        found = self._rollups.find({}, {"_id": 0, "sums_path": 1, "visitors_path": 1})
        return {path async for one in found for path in one.values() if path is not None}

    async def outdated(self, site: str, oldest: date | None) -> list[date]:
        """The days of the site whose files are not as they should be: `FORMAT` from the day `oldest` on, 1 before."""
        first = "" if oldest is None else oldest.isoformat()
        wanted = {
            "_id.site": site,
            "_id.granularity": "day",
            "$or": [
                {"_id.start": {"$gte": first}, "format": {"$ne": FORMAT}},
                {"_id.start": {"$lt": first}, "format": FORMAT},
            ],
        }
        return [date.fromisoformat(one["_id"]["start"]) async for one in self._rollups.find(wanted, {"_id": 1})]

    async def read_until(self, site: str, time: int) -> list[Rollup]:
        """The site's days whose events were read at this time (Unix ms) or before."""
        wanted = {"_id.site": site, "_id.granularity": "day", "read_time": {"$lte": time}}
        return [Rollup.from_document(document) async for document in self._rollups.find(wanted)]

    async def put(self, rollup: Rollup) -> None:
        """List a rollup in place of the one of the same period, whose files are deleted later. May be repeated."""
        await self.replace(rollup.document())

    async def replace(self, document: dict[str, Any]) -> None:
        """List what a document names in place of what the one of the same key named."""

        async def write(session: AsyncClientSession) -> None:
            old = await self._rollups.find_one_and_replace(
                {"_id": document["_id"]}, document, upsert=True, session=session
            )
            kept = {document["sums_path"], document["visitors_path"], None}
            await self._remove({old["sums_path"], old["visitors_path"]} - kept if old else (), session)

        await transaction(self._group, write)

    async def swap_visitors(self, old: Rollup, new: Rollup) -> bool:
        """List another file of visitors for a day. False: it had a third one by now, and nothing was changed."""
        key = old.document()["_id"]

        async def write(session: AsyncClientSession) -> bool:
            swapped = await self._rollups.update_one(
                {"_id": key, "visitors_path": old.visitors_path},
                {"$set": {"visitors_path": new.visitors_path, "format": new.format}},
                session=session,
            )
            if swapped.matched_count:
                await self._remove([old.visitors_path], session)
                return True
            # A first attempt of this transaction may have been done, unheard.
            done = {"_id": key, "visitors_path": new.visitors_path}
            return await self._rollups.find_one(done, {"_id": 1}, session=session) is not None

        return await transaction(self._group, write)

    async def _remove(self, paths: Iterable[str | None], session: AsyncClientSession) -> None:
        """Files to be deleted when their grace period is over."""
        now = datetime.now(UTC)
        for path in paths:
            await self._group["removed_files"].replace_one(
                {"_id": path}, {"_id": path, "removed_at": now}, upsert=True, session=session
            )

    async def keep(self, site: str, day: date, marks: dict[str, str]) -> None:
        """Let the rollup of a day hold, although dates around it are marked: what it was made of is gone."""
        await self._rollups.update_one(
            {"_id": {"site": site, "granularity": "day", "start": day.isoformat()}},
            {"$set": {"marks": [list(mark) for mark in sorted(marks.items())]}},
        )

    async def marks(self, site: str) -> dict[str, str]:
        """The site's dirty dates (UTC) and the version of each mark."""
        found = self._group["dirty_dates"].find({"_id.site": site})
        return {document["_id"]["date"]: document["version"] async for document in found}

    async def clear(self, site: str, marks: dict[str, str]) -> None:
        """Remove marks that have not changed since they were read."""
        for day, version in marks.items():
            await self._group["dirty_dates"].delete_one({"_id": {"site": site, "date": day}, "version": version})

    async def days(self, site: str, timezone: str, from_date: date, to_date: date, events: FoundEvents) -> DayState:
        """How the days of a range stand. `events`: of this range, read just before.

        The order of reading is what makes it right: events, then marks, then rollups. An event that the archive moves
        meanwhile was still waiting in the set; a rollup that is replaced meanwhile is newer than its mark.
        """
        marks = await self.marks(site)
        rollups = await self.find(site, "day", from_date, to_date)
        times = _times(events.waiting)
        dates = file_dates(events)
        counted: dict[date, Rollup] = {}
        uncounted: list[date] = []
        for number in range((to_date - from_date).days + 1):
            day = from_date + timedelta(days=number)
            start, end = day_start_ms(timezone, day), day_start_ms(timezone, day + timedelta(days=1))
            rollup = rollups.get(day)
            if rollup is None:
                if any(one in dates for one in utc_dates(start, end - 1)) or _between(times, start, end - 1):
                    uncounted.append(day)
            elif not _between(times, start - GAP_MS, rollup.closes_at) and await self._holds(rollup, marks, start, end):
                counted[day] = rollup
            else:
                uncounted.append(day)
        return DayState(counted, tuple(uncounted))

    async def _holds(self, rollup: Rollup, marks: dict[str, str], start: int, end: int) -> bool:
        own = utc_dates(start - GAP_MS, end - 1)
        for day in utc_dates(start - GAP_MS, rollup.closes_at):
            if day not in marks or marks[day] == rollup.marks.get(day):
                continue
            if day in own or await self._late_files(rollup, day):
                return False
        return True

    async def _late_files(self, rollup: Rollup, day: str) -> bool:
        """Whether files of a later date than the rollup's own may continue its sessions: those that came after it."""
        since = datetime.fromtimestamp((rollup.read_time - LISTING_MS) / 1000, UTC)
        found = await self._group["files"].find_one(
            {
                "site": rollup.site,
                "date": day,
                "created_at": {"$gte": since},
                "min_event_time": {"$lte": rollup.closes_at},
            }
        )
        return found is not None


def file_dates(events: FoundEvents) -> set[str]:
    """The UTC dates of the files of an EventSet, which their paths say."""
    found = (_DATE.search(file) for file in events.files)
    return {match.group(1) for match in found if match}


def period_holds(rollup: Rollup | None, state: DayState, to_date: date) -> bool:
    """Whether a week's or month's rollup was made of its days as they are now. `to_date`: its last day."""
    if rollup is None or any(rollup.start <= day <= to_date for day in state.uncounted):
        return False
    days = {day.isoformat(): one.digest for day, one in state.counted.items() if rollup.start <= day <= to_date}
    return days == rollup.days


def new_base(group_name: str, site: str, granularity: Granularity, start: date, run_id: str) -> str:
    """How the paths of a period's files begin; another one at every call."""
    return f"{ROLLUPS}/{group_name}/site={site}/{granularity}={start.isoformat()}/{run_id}-{new_token()}"


def new_token() -> str:
    """Part of a file's name: a run that is repeated, or goes on late, never touches a file that was listed before."""
    return secrets.token_hex(6)


async def write_cohorts(
    store: RollupStore, storage: Storage, group_name: str, site: str, cells: pa.Table, run_id: str
) -> None:
    """List a file of a site's retention cells in place of the last one."""
    path = f"{ROLLUPS}/{group_name}/site={site}/cohorts/{run_id}-{new_token()}.parquet"
    with storage.create(path) as file:
        pq.write_table(cells, file, compression="zstd")
    key = {"site": site, "granularity": "cohorts", "start": ""}
    await store.replace(
        {"_id": key, "sums_path": path, "visitors_path": None, "rows": cells.num_rows, "run_id": run_id}
    )


def utc_dates(from_ms: int, to_ms: int) -> list[str]:
    """The UTC dates of the instants from `from_ms` to `to_ms`, both ends included."""
    first, last = from_ms // DAY_MS, to_ms // DAY_MS
    return [(date(1970, 1, 1) + timedelta(days=number)).isoformat() for number in range(first, last + 1)]


def open_parquet(connection: Connection, storage: Storage, paths: Sequence[str], name: str) -> None:
    """Make the view `name` of these files, which all have the same columns."""
    locations = [storage.location(path) for path in paths]
    if storage.remote:
        connection.register(name, ds.dataset(locations, format="parquet", filesystem=storage.filesystem))
        return
    literals = ", ".join("'" + location.replace("'", "''") + "'" for location in locations)
    connection.execute(
        f"CREATE OR REPLACE TEMP VIEW {name} AS FROM read_parquet([{literals}], hive_partitioning = false)"
    )


def _times(waiting: pa.Table | None) -> Any:
    if waiting is None or waiting.num_rows == 0:
        return np.empty(0, np.int64)
    return np.sort(waiting["event_time"].to_numpy())


def _between(times: Any, first: int, last: int) -> bool:
    return bool(np.searchsorted(times, first) < np.searchsorted(times, last, side="right"))
