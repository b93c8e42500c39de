"""One unit of an import: a few megabytes of whole lines become files of the warehouse, in any process.

A unit is known by where it begins in the file and by a hash of the file up to its end. So it is the same whenever the
same file is read, also when the file has grown since, and whether it is compressed or not.
"""

import gc
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pistats.backfill.access_log import read_access_log
from pistats.backfill.enrich import enrich_rows
from pistats.backfill.ndjson import read_ndjson
from pistats.backfill.rows import BadLine, Format, Rows
from pistats.clock import now_ms
from pistats.enrich.steps import EnrichContext
from pistats.identity import SEPARATOR, normal_ip, truncate_ip
from pistats.visitors.calendar import QUARTER_MS, LocalDays
from pistats.warehouse.manifest import WarehouseFile
from pistats.warehouse.storage import Storage
from pistats.warehouse.tombstones import Tombstone, without_erased
from pistats.warehouse.writer import FileWriter

LOG_VISITOR = "log_"
"""Begins the ids of visitors that are made of address and user agent with a salt that stays: they do return."""

VisitorDays = tuple[str, int, list[int]]
"""Visitor id, first time (Unix ms), local days on which the visitor was active."""


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """What is the same for all units of an import."""

    site: str
    timezone: str
    truncate_ip: bool
    format: Format
    base_url: str | None
    salt: bytes
    root: str
    groups: tuple[str, ...]
    geoip_db: Path | None
    tombstones: tuple[Tombstone, ...] = ()
    known_time: int = 0
    """Before the tombstones were read, Unix ms."""


@dataclass(frozen=True, slots=True)
class Unit:
    """Some lines of the file. `start`, `end`: bytes of the uncompressed file; `digest`: of it up to `end`."""

    start: int
    end: int
    first_line: int
    digest: str
    data: bytes

    @property
    def run_id(self) -> str:
        """Begins the names of the unit's files."""
        return f"import-{self.digest[:16]}"


@dataclass(frozen=True, slots=True)
class ImportedUnit:
    """What has become of a unit: files by group, not listed yet, and what is to be published with them."""

    start: int
    end: int
    digest: str
    files: dict[str, tuple[WarehouseFile, ...]]
    lines: int
    events: int
    bots: int
    bad: tuple[tuple[BadLine, bytes], ...]
    visitors: tuple[VisitorDays, ...]
    began_time: int
    known_time: int


def import_unit(plan: ImportPlan, unit: Unit) -> ImportedUnit:
    """Parse, enrich and write the lines of a unit. What it writes is garbage until it is published; may be repeated."""
    with _without_collections():
        return _import_unit(plan, unit)


@contextmanager
def _without_collections() -> Iterator[None]:
    """A unit's hundred thousands of tuples live until it is done: looking through them takes a quarter of its time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _import_unit(plan: ImportPlan, unit: Unit) -> ImportedUnit:
    began = now_ms()
    rows = _read(plan, unit, began)
    events = without_erased(_enriched(plan, unit, rows), plan.tombstones)
    files = {
        group: tuple(FileWriter(Storage(plan.root), group, unit.run_id).write_events(events, "import"))
        for group in plan.groups
    }
    bots = pc.sum(events["is_bot"]).as_py() or 0
    return ImportedUnit(
        start=unit.start,
        end=unit.end,
        digest=unit.digest,
        files=files,
        lines=_lines(unit.data),
        events=events.num_rows,
        bots=bots,
        bad=_with_bytes(rows.bad, unit),
        visitors=tuple(visitor_days(events, LocalDays(ZoneInfo(plan.timezone)))),
        began_time=began,
        known_time=plan.known_time,
    )


def _read(plan: ImportPlan, unit: Unit, now: int) -> Rows:
    if plan.format == "ndjson":
        return read_ndjson(unit.data.split(b"\n"), unit.first_line, now)
    text = unit.data.decode("utf-8", "replace")
    return read_access_log(
        (line.removesuffix("\r") for line in text.split("\n")),
        unit.first_line,
        combined=plan.format == "combined",
        base_url=plan.base_url,
    )


def _enriched(plan: ImportPlan, unit: Unit, rows: Rows) -> pa.Table:
    given_ips = rows.client["ip"]
    stored = {ip: ip and (truncate_ip(ip) if plan.truncate_ip else normal_ip(ip)) for ip in set(given_ips)}
    rows.client["event_id"] = _event_ids(plan.site, unit, rows)
    return enrich_rows(
        rows, plan.site, _visitors(plan, rows), [stored[ip] for ip in given_ips], _context(plan.geoip_db)
    )


@lru_cache(maxsize=1)
def _context(geoip_db: Path | None) -> EnrichContext:
    return EnrichContext.standard(geoip_db)


def _visitors(plan: ImportPlan, rows: Rows) -> list[str]:
    """The id that the line gives, else one of address and user agent, the same in every import of this system."""
    sources = list(zip(rows.client["ip"], rows.client["user_agent"], strict=True))
    given = rows.client["visitor_id"]
    unnamed = {source for one, source in zip(given, sources, strict=True) if not one}
    made = {source: log_visitor(plan.site, *source, plan.salt) for source in unnamed}
    return [one or made[source] for one, source in zip(given, sources, strict=True)]


def log_visitor(site: str, ip: str | None, user_agent: str | None, salt: bytes) -> str:
    """A visitor id of address and user agent: BLAKE2b with the system's secret salt for imports."""
    parts = SEPARATOR.join((site, ip or "", user_agent or ""))
    return LOG_VISITOR + hashlib.blake2b(parts.encode("utf-8", "replace"), digest_size=16, key=salt).hexdigest()


def _event_ids(site: str, unit: Unit, rows: Rows) -> list[str | None]:
    """The id that the line gives, else one of the file's content up to the unit's end and the line's number."""
    head = hashlib.blake2b(f"{site}{SEPARATOR}{unit.digest}".encode(), digest_size=8).hexdigest()
    return [
        given or f"{head}{number:016x}" for given, number in zip(rows.client["event_id"], rows.numbers, strict=True)
    ]


def visitor_days(events: pa.Table, days: LocalDays) -> list[VisitorDays]:
    """Each visitor's first time and active days. Bots are no visitors."""
    people = events.filter(pc.invert(events["is_bot"])).select(["visitor_id", "event_time"])
    if people.num_rows == 0:
        return []
    quarters, codes = np.unique(people["event_time"].to_numpy() // QUARTER_MS, return_inverse=True)
    of_quarter = np.array([days[int(quarter)] for quarter in quarters], np.int32)
    people = people.append_column("day", pa.array(of_quarter[codes]))
    grouped = people.group_by("visitor_id").aggregate([("event_time", "min"), ("day", "distinct")])
    return [
        (row["visitor_id"], row["event_time_min"], sorted(row["day_distinct"]))
        for row in grouped.sort_by("visitor_id").to_pylist()
    ]


def _lines(data: bytes) -> int:
    return data.count(b"\n") + (not data.endswith(b"\n"))


def _with_bytes(bad: list[BadLine], unit: Unit) -> tuple[tuple[BadLine, bytes], ...]:
    if not bad:
        return ()
    lines = unit.data.split(b"\n")
    ordered = sorted(bad, key=lambda line: line.number)
    return tuple((line, lines[line.number - unit.first_line]) for line in ordered)
