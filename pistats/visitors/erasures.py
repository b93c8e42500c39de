"""Visitors that were erased: what was received of them until then is dropped, also when it is replayed."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from pistats.enrich.event import EnrichedEvent
from pistats.mongo.indexes import Database
from pistats.warehouse.ages import SETTLED_MS

REFRESH_MS = 1_000
"""How old the known tombstones may be."""

NOTICE_MS = 2_000
"""A tombstone is dated so far ahead. So whoever meets an event that was received after it knows of it: the list is a
second old at most, which leaves a second for clocks that differ."""

OVERLAP_MS = 600_000
"""Tombstones are read again for so long: they are dated by whoever wrote them, and may become visible later."""


class Erasures:
    """The tombstones of `erasures` in the system database, as they were at most a second ago."""

    def __init__(self, system: Database | None) -> None:
        """None: nobody was ever erased."""
        self._stored = None if system is None else system["erasures"]
        self._erased: dict[tuple[str, str], int] = {}
        self._newest = 0
        self._read_at: int | None = None

    async def refresh(self, now_ms: int, *, at_once: bool = False) -> None:
        """Read what was added, if the last look is a second ago or `at_once`."""
        if self._stored is None:
            return
        if self._read_at is not None and not at_once and 0 <= now_ms - self._read_at < REFRESH_MS:
            return
        since = {"erased_time": {"$gte": self._newest - OVERLAP_MS}} if self._erased else {}
        self._take(await self._stored.find(since).to_list())
        self._read_at = now_ms

    def _take(self, documents: Iterable[Mapping[str, Any]]) -> None:
        for document in documents:
            time = int(document["erased_time"])
            self._erased[document["_id"]["site"], document["_id"]["visitor_id"]] = time
            self._newest = max(self._newest, time)

    def drop(self, event: EnrichedEvent) -> bool:
        """Whether this event belongs to a visitor who was erased after it had been received."""
        time = self._erased.get((event["site"], event["visitor_id"]))
        return time is not None and event["received_time"] <= time

    def drop_payload(self, payload: bytes, received_by: int) -> bool:
        """The same of a record that could not be enriched. `received_by`: see `is_erased`."""
        return is_erased(payload, self._erased, received_by)

    def time_of(self, site: str, visitor_id: str) -> int | None:
        """Until when what was received of this visitor is erased (Unix ms); None: nothing is."""
        return self._erased.get((site, visitor_id))

    def among(self, events: Iterable[EnrichedEvent]) -> dict[tuple[str, str], int]:
        """The visitors of these events who were erased at some time, and until when. Bots are no visitors."""
        if not self._erased:
            return {}
        visitors = {(event["site"], event["visitor_id"]) for event in events if not event["is_bot"]}
        return {visitor: self._erased[visitor] for visitor in visitors & self._erased.keys()}

    def __bool__(self) -> bool:
        return bool(self._erased)


def is_erased(payload: bytes, erased_times: Mapping[tuple[str, str], int], received_by: int) -> bool:
    """Whether a record is of one of these visitors, (site, id) -> Unix ms, by what can be read of its bytes.

    `received_by` (Unix ms) counts for bytes that don't say when they were received.
    """
    try:
        record = orjson.loads(payload)
        erased_time = erased_times.get((record["site"], record["visitor_id"]), -1)
        return bool(record["received_time"] <= erased_time)
    except (ValueError, TypeError, LookupError):
        return any(
            received_by <= erased_time and any(spelling in payload for spelling in spellings(visitor_id))
            for (_, visitor_id), erased_time in erased_times.items()
        )


def spellings(visitor_id: str) -> set[bytes]:
    """How the id may stand in bytes that are no JSON as a whole."""
    return {visitor_id.encode(), orjson.dumps(visitor_id)[1:-1], json.dumps(visitor_id)[1:-1].encode()}


async def erasures_wait(system: Database, now: int) -> bool:
    """Whether a pass is due: something was not removed yet, or can be settled at this time (Unix ms)."""
    removing, settling = {"removed_time": None}, {"erased_time": {"$lte": now - SETTLED_MS}}
    waiting = await system["erasures"].find_one({"done_time": None, "$or": [removing, settling]}, {"_id": 1})
    return waiting is not None
