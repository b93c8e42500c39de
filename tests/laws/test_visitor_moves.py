"""A visitor's bucket moves to another partition and back: what is known of the visitor moves along, and is current."""

from typing import Any

import orjson
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pymongo.asynchronous.database import AsyncDatabase

from pistats.consumer.commit import Committer, Flush
from pistats.consumer.lease import Lease, LeaseStore
from pistats.consumer.projection import Projection
from pistats.consumer.reader import FramePart, RecordRange
from pistats.consumer.transform import Transform
from pistats.identity import bucket_of, partition_of
from pistats.mongo.indexes import ensure_group_indexes
from pistats.settings import ConsumerSettings, LiveSettings
from pistats.visitors.retention import Cohort

Database = AsyncDatabase[dict[str, Any]]

NOW = 1_790_000_000_000
TRANSFORM = Transform()
VISITORS = [f"v{number}" for number in range(5)]

views = st.tuples(st.sampled_from(VISITORS), st.integers(0, 4_000))  # who, minutes ago
layouts = st.lists(st.tuples(st.integers(1, 4), st.lists(views, max_size=6)), min_size=1, max_size=5)


def payload(visitor: str, minutes_ago: int, number: int) -> bytes:
    time = NOW - minutes_ago * 60_000
    seen = {
        "event_id": f"e{number}",
        "visitor_id": visitor,
        "name": "page_view",
        "url": f"https://example.com/{number}",
    }
    return orjson.dumps({"site": "s", "received_time": NOW, "time": time, **seen})


class Partition:
    """One partition's consumer that keeps its lease for as long as the law runs."""

    def __init__(self, database: Database, number: int) -> None:
        self._number = number
        self._database = database
        self._leases = LeaseStore(database, 60)
        self._committer = Committer(database, self._leases, timeout_s=20)
        self._projection = Projection(database, number, ConsumerSettings(), LiveSettings(), lambda: NOW, duplicates=0)
        self._lease: Lease | None = None
        self._offset = 0

    async def flush(self, payloads: list[bytes], layout: int) -> None:
        if self._lease is None:
            await self._leases.declare(self._number)
            self._lease = await self._leases.acquire(self._number, "law")
            assert self._lease is not None
            await self._leases.renew(self._lease, fields={"offset": 0})
        records = RecordRange(self._offset, payloads, [FramePart(NOW, len(payloads), 0)], caught_up=False)
        transformed = await TRANSFORM.apply(self._number, records)
        change = await self._projection.apply(transformed, cuts_passed=layout)
        await self._committer.commit(
            Flush(self._lease, self._offset, records.end_offset, NOW, False, change.documents, change.chunks)
        )
        self._projection.committed()
        self._offset = records.end_offset

    async def close(self) -> None:
        await self._committer.close()


async def consumed(database: Database, script: list[tuple[int, list[tuple[str, int]]]]) -> dict[str, Any]:
    for name in ("partitions", "visitors", "retention", "chunks"):
        await database[name].delete_many({})
    partitions: dict[int, Partition] = {}
    number = 0
    for layout, (count, seen) in enumerate(script):
        for visitor, minutes_ago in seen:
            home = partition_of(bucket_of("s", visitor), count)
            partition = partitions.setdefault(home, Partition(database, home))
            await partition.flush([payload(visitor, minutes_ago, number)], layout)
            number += 1
    for partition in partitions.values():
        await partition.close()
    visitors = await database["visitors"].find({}, {"partition": 0, "updated_at": 0}).sort("_id").to_list()
    cells: dict[str, Cohort] = {}
    async for one in database["retention"].find():
        key = str([one["_id"][name] for name in ("site", "granularity", "cohort")])
        cells[key] = cells.get(key, Cohort(0, [])).merge(Cohort(one["size"], one["returned"]))
    return {"visitors": visitors, "cells": cells}


@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(script=layouts)
async def test_any_changes_of_the_layout_give_the_same_visitors_and_cells(
    database: Database, script: list[tuple[int, list[tuple[str, int]]]]
) -> None:
    await ensure_group_indexes(database, 3_600)

    moved = await consumed(database, script)
    stayed = await consumed(database, [(1, seen) for _, seen in script])

    assert moved == stayed
