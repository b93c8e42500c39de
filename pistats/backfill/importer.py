"""An import from begin to end: read → units → (elsewhere: parse, enrich, write) → publish, a few units at a time."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import BinaryIO
from urllib.parse import urlsplit

from pymongo import AsyncMongoClient

from pistats.backfill.lock import ImportLock
from pistats.backfill.publish import Publisher, import_salt, imported_units
from pistats.backfill.reader import UNIT_BYTES, UnitReader
from pistats.backfill.rows import BadLine, Format
from pistats.backfill.unit import ImportedUnit, ImportPlan, Unit
from pistats.clock import now_ms
from pistats.consumer.groups import Groups
from pistats.errors import ConfigurationError
from pistats.mongo.client import Document
from pistats.settings import Settings
from pistats.sites import Site, SiteStore
from pistats.topology import load_topology
from pistats.warehouse.storage import Storage
from pistats.warehouse.tombstones import load_tombstones

Work = Callable[[ImportPlan, Unit], Awaitable[ImportedUnit]]
"""Does `pistats.backfill.unit.import_unit` somewhere: in a process of a pool, or as a Ray task."""
LISTED = 1_000
"""Bad lines that a report holds; all are counted, and all are given to `on_bad`."""


@dataclass(slots=True)
class ImportReport:
    """What an import has done. Lines that were imported before are only in `skipped`."""

    lines: int = 0
    events: int = 0
    bots: int = 0
    bad: int = 0
    skipped: int = 0
    listed: list[BadLine] = field(default_factory=list)

    def add(self, unit: ImportedUnit, news: bool) -> None:
        """A unit is done; `news`: it was not known before."""
        if not news:
            self.skipped += unit.lines
            return
        self.lines += unit.lines
        self.events += unit.events
        self.bots += unit.bots
        self.bad += len(unit.bad)
        self.listed.extend(line for line, _ in unit.bad[: LISTED - len(self.listed)])


class Importer:
    """Imports files of one site and format. The same content is imported once, whatever dies and whoever repeats it."""

    def __init__(
        self,
        client: AsyncMongoClient[Document],
        settings: Settings,
        work: Work,
        *,
        in_flight: int,
        unit_bytes: int = UNIT_BYTES,
    ) -> None:
        """`in_flight`: units of `unit_bytes` that are under way at once; with one more than processes all are busy."""
        self._client = client
        self._settings = settings
        self._system = client[settings.database()]
        self._work = work
        self._in_flight = in_flight
        self._unit_bytes = unit_bytes

    async def run(
        self,
        stream: BinaryIO,
        site: str,
        form: Format,
        base_url: str | None,
        *,
        on_unit: Callable[[ImportReport], object] = lambda _: None,
        on_bad: Callable[[BadLine, bytes], object] = lambda _line, _bytes: None,
    ) -> ImportReport:
        """Import everything that `stream` gives. Raises ConfigurationError for a site that isn't there.

        Raises UnavailableError while another import into the site is under way.
        """
        plan = await self._plan(site, form, base_url)
        groups = {name: self._client[self._settings.database(name)] for name in plan.groups}
        lock = ImportLock(self._system, site)
        publisher = Publisher(groups, site, await load_topology(self._system), Storage(plan.root), lock)
        report = ImportReport()
        async with lock.hold():
            reader = UnitReader(stream, await imported_units(groups, site), self._unit_bytes)
            async for done in self._work_through(plan, iter(reader)):
                report.add(done, await publisher.publish(done))
                for line, content in done.bad:
                    on_bad(line, content)
                on_unit(report)
        report.skipped += reader.skipped_lines
        return report

    async def _plan(self, site: str, form: Format, base_url: str | None) -> ImportPlan:
        known = await SiteStore(self._system).get(site)
        if known is None:
            raise ConfigurationError(f"There is no site called {site!r}: `pistats site add {site}` makes it.")
        groups = await Groups(self._system, self._settings).list()
        return ImportPlan(
            site=site,
            timezone=known.timezone,
            truncate_ip=known.truncate_ip,
            format=form,
            base_url=base_url_of(known) if base_url is None else check_base_url(base_url),
            salt=await import_salt(self._system),
            root=self._settings.warehouse_root,
            groups=tuple(group.name for group in groups if group.state != "dropping"),
            geoip_db=self._settings.geoip_db,
        )

    async def _work_through(self, plan: ImportPlan, units: Iterator[Unit]) -> AsyncIterator[ImportedUnit]:
        """Every unit done, in the file's order; meanwhile the next ones are under way."""
        tasks: deque[asyncio.Future[ImportedUnit]] = deque()
        try:
            while (unit := await asyncio.to_thread(next, units, None)) is not None:
                known_time = now_ms()
                tombstones = tuple(await load_tombstones(self._system, [plan.site]))
                known = replace(plan, tombstones=tombstones, known_time=known_time)
                tasks.append(asyncio.ensure_future(self._work(known, unit)))
                if len(tasks) == self._in_flight:
                    yield await tasks.popleft()
            while tasks:
                yield await tasks.popleft()
        finally:
            for task in tasks:
                task.cancel()


def base_url_of(site: Site) -> str | None:
    """What goes before the paths of an access log: the site's first allowed origin, else its name if it is a host's."""
    if site.allowed_origins:
        return site.allowed_origins[0]
    return f"https://{site.name}" if "." in site.name and "_" not in site.name else None


def check_base_url(text: str) -> str:
    """`https://example.com`, without a slash at the end. Raises ConfigurationError."""
    parts = urlsplit(text.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ConfigurationError(f"{text!r} is no address to put before paths: write such as https://example.com.")
    return text.strip().rstrip("/")
