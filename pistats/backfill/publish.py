"""Makes an imported unit visible: its files, its dates to recompute and its visitors, in one transaction per group.

`imports` of a group's database: `{_id: {site, start, digest}, end, lines, events, bots, bad, run_id, created_at}`, one
document for each unit. Who inserts it publishes the unit; a second import finds it there and publishes nothing.
"""

import secrets
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from pymongo import ReturnDocument
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import DuplicateKeyError

from pistats.backfill.lock import ImportLock
from pistats.backfill.reader import Known, known_units
from pistats.backfill.unit import ImportedUnit, VisitorDays
from pistats.clock import Clock, now_ms
from pistats.consumer.requests import Request, Requests, merge_visitors
from pistats.identity import bucket_of
from pistats.mongo.indexes import Database
from pistats.mongo.sessions import transaction
from pistats.topology import Topology
from pistats.warehouse.ages import check_age
from pistats.warehouse.manifest import Manifest
from pistats.warehouse.storage import Storage

SALT_BYTES = 32
REQUEST_VISITORS = 1_000
"""Of one request to a partition's owner: some 50 KB, done in one commit."""


async def import_salt(system: Database) -> bytes:
    """The secret that visitors of access logs are made with; the same for ever, so that they return in later logs.

    Kept in `settings` under `imports`, made on first use. Without it, nobody can find an address in a visitor id.
    """
    document = await system["settings"].find_one_and_update(
        {"_id": "imports"},
        {"$setOnInsert": {"salt": secrets.token_bytes(SALT_BYTES)}},
        upsert=True,
        return_document=ReturnDocument.AFTER,
    )
    assert document is not None
    return bytes(document["salt"])


async def imported_units(groups: dict[str, Database], site: str) -> Known:
    """The units that the groups have already."""
    done = {}
    for name, group in groups.items():
        found = group["imports"].find({"_id.site": site}, {"end": 1})
        done[name] = {(one["_id"]["start"], one["end"], one["_id"]["digest"]) async for one in found}
    return known_units(done)


class Publisher:
    """Publishes the units of one site, to every group. A unit may be published again: nothing happens then."""

    def __init__(
        self,
        groups: dict[str, Database],
        site: str,
        topology: Topology,
        storage: Storage,
        lock: ImportLock,
        clock: Clock = now_ms,
    ) -> None:
        self._groups = groups
        self._site = site
        self._topology = topology
        self._storage = storage
        self._lock = lock
        self._clock = clock

    async def publish(self, unit: ImportedUnit) -> bool:
        """Whether some group had not had it. After a death in between, the same import publishes the rest."""
        news = [await self._publish_to(name, group, unit) for name, group in self._groups.items()]
        return any(news)

    async def _publish_to(self, name: str, group: Database, unit: ImportedUnit) -> bool:
        files = unit.files[name]

        async def write(session: AsyncClientSession) -> None:
            await group["imports"].insert_one(self._document(unit), session=session)
            await self._lock.check(session)
            check_age(unit.began_time, self._clock())
            await Manifest(group).add(files, session)
            if requests := list(self._requests(unit)):
                await Requests(group, self._clock).add(requests, session)

        try:
            await transaction(group, write)
        except DuplicateKeyError:
            self._storage.delete(await Manifest(group).unlisted(files))
            return False
        return True

    def _document(self, unit: ImportedUnit) -> dict[str, Any]:
        return {
            "_id": {"site": self._site, "start": unit.start, "digest": unit.digest},
            "end": unit.end,
            "lines": unit.lines,
            "events": unit.events,
            "bots": unit.bots,
            "bad": len(unit.bad),
            "created_at": datetime.fromtimestamp(self._clock() / 1000, UTC),
        }

    def _requests(self, unit: ImportedUnit) -> Iterator[Request]:
        """What the owners of the partitions are asked to do with the visitors: see `pistats.consumer.requests`."""
        of_partition: dict[int, list[VisitorDays]] = defaultdict(list)
        for visitor in unit.visitors:
            of_partition[self._topology.partition_of(bucket_of(self._site, visitor[0]))].append(visitor)
        for partition, visitors in sorted(of_partition.items()):
            for number, batch in enumerate(_batches(visitors)):
                request_id = f"import:{self._site}:{unit.start}:{unit.digest}:{partition}:{number}"
                visitors_of_site = [[self._site, *visitor] for visitor in batch]
                yield merge_visitors(request_id, partition, visitors_of_site, unit.known_time)


def _batches(visitors: Sequence[VisitorDays]) -> Iterator[list[VisitorDays]]:
    left = iter(visitors)
    while batch := list(islice(left, REQUEST_VISITORS)):
        yield batch
