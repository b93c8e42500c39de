"""Writes events as files of the warehouse. What it has written is garbage until a manifest lists it."""

import secrets
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count

import numpy as np
import pyarrow as pa

from pistats.clock import Clock, now_ms
from pistats.settings import BUCKETS
from pistats.warehouse.manifest import Origin, WarehouseFile
from pistats.warehouse.parquet import to_file_rows, write_rows
from pistats.warehouse.storage import Storage

DAY_MS = 86_400_000
ALL_BUCKETS = (0, BUCKETS - 1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class FileWriter:
    """Makes files `GROUP/site=S/date=D/bucket=LO-HI/RUN-TOKEN-N.parquet` of one run.

    The token is another one for every writer: a run that is repeated under its old name never touches a file of its
    first attempt, which may be listed.
    """

    def __init__(self, storage: Storage, group: str, run_id: str, clock: Clock = now_ms) -> None:
        self._storage = storage
        self._group = group
        self._run_id = run_id
        self._clock = clock
        self._name = f"{run_id}-{secrets.token_hex(6)}"
        self._numbers = count()

    def write_events(self, events: pa.Table, origin: Origin = "stream") -> list[WarehouseFile]:
        """Every event once, in one file per site and UTC date, durable when this returns. No event, no file.

        `events`: columns of `EVENT_SCHEMA`. Takes some three times their memory meanwhile.
        """
        if events.num_rows == 0:
            return []
        written = [
            self.write(site, date, ALL_BUCKETS, [rows], origin)
            for site, date, rows in _by_site_and_date(to_file_rows(events))
        ]
        return [file for file in written if file is not None]

    def write(
        self, site: str, date: str, buckets: tuple[int, int], parts: Iterable[pa.Table], origin: Origin
    ) -> WarehouseFile | None:
        """One file of rows that are sorted, within each part and from part to part. No row, no file."""
        lo, hi = buckets
        path = (
            f"{self._group}/site={site}/date={date}/bucket={lo:02}-{hi:02}/{self._name}-{next(self._numbers)}.parquet"
        )
        seen = _Seen()
        size = write_rows(self._storage, path, seen.watch(parts))
        if seen.rows == 0:
            self._storage.delete([path])
            return None
        return WarehouseFile(
            path=path,
            site=site,
            date=date,
            buckets=buckets,
            rows=seen.rows,
            bytes=size,
            min_event_time=seen.min_event_time,
            max_event_time=seen.max_event_time,
            run_id=self._run_id,
            origin=origin,
            created_time=self._clock(),
        )


class _Seen:
    """What went into a file."""

    def __init__(self) -> None:
        self.rows = 0
        self.min_event_time = 2**63 - 1
        self.max_event_time = -(2**63)

    def watch(self, parts: Iterable[pa.Table]) -> Iterator[pa.Table]:
        for part in parts:
            if part.num_rows:
                times = part["event_time"].to_numpy()
                self.rows += part.num_rows
                self.min_event_time = min(self.min_event_time, int(times.min()))
                self.max_event_time = max(self.max_event_time, int(times.max()))
                yield part


def date_of(event_time: int) -> str:
    """The UTC date of a time in Unix ms, as folders and the manifest write it."""
    return date_of_day(event_time // DAY_MS)


def date_of_day(day: int) -> str:
    """The date that is so many days after 1970-01-01."""
    return f"{EPOCH + timedelta(days=day):%Y-%m-%d}"


def _by_site_and_date(rows: pa.Table) -> Iterator[tuple[str, str, pa.Table]]:
    """The rows of each site and UTC date, in the order they had."""
    sites = rows["site"].combine_chunks().dictionary_encode()
    names = sites.dictionary.to_pylist()
    codes = sites.indices.to_numpy()
    days = rows["event_time"].to_numpy() // DAY_MS
    if len(names) == 1 and days.min() == days.max():
        yield names[0], date_of_day(int(days[0])), rows
        return
    keys = days * len(names) + codes
    for key in np.unique(keys).tolist():
        day, code = divmod(key, len(names))
        yield names[code], date_of_day(day), rows.filter(pa.array(keys == key))
