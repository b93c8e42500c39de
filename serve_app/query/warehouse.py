"""The warehouse inside the query replica: nothing of it is loaded before the first question."""

from typing import TYPE_CHECKING

from pymongo import AsyncMongoClient

from pistats.consumer.groups import Groups, reader_group
from pistats.jobs.job import new_run_id
from pistats.mongo.client import Document
from pistats.settings import Settings

if TYPE_CHECKING:
    from pistats.reports.reports import Reports
    from pistats.warehouse.engine import QueryEngine
    from pistats.warehouse.erase import Eraser


class Warehouse:
    """Makes the reports of groups, all with one engine: its bounds are those of the process."""

    def __init__(self, settings: Settings, client: AsyncMongoClient[Document]) -> None:
        self._settings = settings
        self._client = client
        self._engine: QueryEngine | None = None

    def reports(self, group: str) -> "Reports":
        """The reports of one group."""
        # Loaded here: DuckDB and Arrow cost 20 MB, also where nobody ever asks for history.
        from pistats.reports.reports import Reports
        from pistats.warehouse.engine import QueryEngine
        from pistats.warehouse.source import EventSource

        if self._engine is None:
            self._engine = QueryEngine.standard(self._settings)
        root = self._settings.warehouse_root
        shown, system = (self._client[self._settings.database(name)] for name in (group, None))
        return Reports(EventSource(shown, system, root), self._engine, shown, system, root)

    async def eraser(self) -> "Eraser":
        """Removes erased visitors from every group that is consumed, and from the one that is shown."""
        from pistats.warehouse.erase import Eraser
        from pistats.warehouse.storage import Storage

        system = self._client[self._settings.database()]
        groups = Groups(system, self._settings)
        names = {group.name for group in await groups.list() if group.state != "dropping"}
        names.add(await reader_group(system, self._settings))
        databases = {name: groups.database(name) for name in names}
        return Eraser(system, databases, Storage(self._settings.warehouse_root), new_run_id("erase"))

    def close(self) -> None:
        """Take no more queries."""
        if self._engine is not None:
            self._engine.close()
