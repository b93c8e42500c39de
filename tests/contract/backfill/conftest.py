"""A system with one site, as `pistats up` makes it, and imports into it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pistats.backfill.importer import Importer, ImportReport
from pistats.backfill.reader import open_source
from pistats.backfill.rows import Format
from pistats.backfill.unit import ImportedUnit, ImportPlan, Unit, import_unit
from pistats.consumer.groups import Groups
from pistats.mongo.indexes import Database, ensure_system_indexes
from pistats.settings import MongoSettings, Settings, WarehouseSettings
from pistats.sites import SiteStore
from pistats.topology import settle_topology
from pistats.warehouse.source import EventSource

SITE = "example.com"


@dataclass(slots=True)
class ImportSystem:
    """What an import needs, and what it leaves."""

    system: Database
    settings: Settings

    @property
    def live(self) -> Database:
        return self.group("live")

    def group(self, name: str) -> Database:
        return self.system.client[self.settings.database(name)]

    def source(self, group: str = "live") -> EventSource:
        return EventSource(self.group(group), self.system, self.settings.warehouse_root)

    def importer(self, unit_bytes: int, before_unit: Callable[[Unit], None]) -> Importer:
        async def work(plan: ImportPlan, unit: Unit) -> ImportedUnit:
            before_unit(unit)
            return import_unit(plan, unit)

        return Importer(self.system.client, self.settings, work, in_flight=2, unit_bytes=unit_bytes)

    async def run(
        self,
        file: Path,
        form: Format,
        *,
        unit_bytes: int = 200_000,
        before_unit: Callable[[Unit], None] = lambda _: None,
        **more: Any,
    ) -> ImportReport:
        stream, raw = open_source(str(file))
        with stream:
            report = await self.importer(unit_bytes, before_unit).run(stream, SITE, form, None, **more)
        assert raw is not None
        raw.close()
        return report


Run = Callable[..., Awaitable[ImportReport]]


@pytest.fixture
async def imports(database: Database, tmp_path: Path) -> ImportSystem:
    settings = Settings(
        data=tmp_path / "data",
        mongodb=MongoSettings(database_prefix=database.name),
        warehouse=WarehouseSettings(root=str(tmp_path / "warehouse")),
    )
    await ensure_system_indexes(database)
    await settle_topology(database, 2)
    await Groups(database, settings).settle()
    await SiteStore(database).add(SITE, timezone="Europe/Berlin")
    return ImportSystem(database, settings)
