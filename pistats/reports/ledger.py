"""The ledger: for each partition and minute, what was appended and what became of it. Whoever reads can add it up.

    appended = enriched + bots + dead_lettered + erased     nothing lost, nothing counted twice
    enriched + bots = archived + waiting                    everything counted is in the warehouse, or on its way there

A row is of the minute in which its records were appended to the log, and of all sites: the log is shared. It is there
once a consumer has committed the records; what waits to be consumed is lag, and in no row yet.
"""

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

import pymongo
from pymongo import DESCENDING
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase

from pistats.errors import QueryError

Database = AsyncDatabase[dict[str, Any]]
Key = tuple[int, int]
"""(partition, minute)."""

MAX_ROWS = 20_000
"""Of one answer: a week of two partitions, some 5 MB of JSON."""

READ_TIMEOUT_S = 20.0
"""Longer than the largest answer takes from a cold cache."""


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One partition's minute (Unix ms)."""

    partition: int
    minute: int
    appended: int
    """Records stored in this minute, by their offsets; and with them `skipped`."""
    duplicates: int
    """Acknowledged without being stored again."""
    enriched: int
    bots: int
    dead_lettered: int
    erased: int
    """Of visitors who were erased after the event had come: dropped."""
    archived: int
    waiting: int
    """In the outbox: not archived yet."""
    skipped: int = 0
    """Offsets between the minute before and this one that no consumer has accounted for. Anything but 0 is a loss."""

    @property
    def difference(self) -> int:
        """Appended less what became of it. Positive: lost. Negative: counted twice."""
        return self.appended - self.enriched - self.bots - self.dead_lettered - self.erased

    @property
    def unarchived(self) -> int:
        """Counted less what is in the warehouse or on its way there. Positive: lost. Negative: there twice."""
        return self.enriched + self.bots - self.archived - self.waiting

    @property
    def balanced(self) -> bool:
        """Whether both sums come out."""
        return self.difference == 0 and self.unarchived == 0


COUNTS = tuple(field.name for field in fields(LedgerRow) if field.name not in ("partition", "minute"))


async def ledger_rows(group: Database, from_ms: int, to_ms: int, max_rows: int = MAX_ROWS) -> list[LedgerRow]:
    """The rows of the minutes that begin in [from, to), by minute and partition, all read at one moment.

    Raises QueryError when there are more than `max_rows`.
    """
    with pymongo.timeout(READ_TIMEOUT_S):
        async with group.client.start_session(snapshot=True) as session:
            counted = await _minutes(group["ledger"], from_ms, to_ms, session, max_rows)
            if len(counted) > max_rows:
                raise QueryError(
                    f"The ledger has more than {max_rows:,} rows in this range, one for each partition and minute: "
                    "ask for fewer days."
                )
            archived = await _minutes(group["archived"], from_ms, to_ms, session)
            waiting = await _waiting(group, counted, session)
            ends = await _ends_before(group, {partition for partition, _ in counted}, from_ms, session)
    rows = []
    for key in sorted(counted, key=lambda one: (one[1], one[0])):
        counts, (partition, minute) = counted[key], key
        skipped = _skipped(counts, ends.get(partition))
        ends[partition] = counts.get("end_offset", ends.get(partition))
        rows.append(
            LedgerRow(
                partition,
                minute,
                appended=_appended(counts) + skipped,
                duplicates=counts.get("duplicates", 0),
                enriched=counts["enriched"],
                bots=counts["bots"],
                dead_lettered=counts["dead_lettered"],
                erased=counts.get("erased", 0),
                archived=archived.get(key, {}).get("events", 0),
                waiting=waiting[key],
                skipped=skipped,
            )
        )
    return rows


def totals(rows: list[LedgerRow]) -> dict[str, int]:
    """Every count over all rows."""
    return {name: sum(getattr(row, name) for row in rows) for name in COUNTS}


def _appended(counts: Mapping[str, Any]) -> int:
    """By the offsets, which count for themselves; rows of the first versions have none."""
    first, end = counts.get("first_offset"), counts.get("end_offset")
    return int(counts["consumed"]) if first is None or end is None else int(end) - int(first)


def _skipped(counts: Mapping[str, Any], end_before: int | None) -> int:
    first = counts.get("first_offset")
    return 0 if first is None or end_before is None else int(first) - end_before


async def _minutes(
    collection: Any, from_ms: int, to_ms: int, session: AsyncClientSession, most: int = 0
) -> dict[Key, dict[str, Any]]:
    """Documents by key; one more than `most`, if that is not 0, tells that there are more."""
    found = collection.find({"_id.minute": {"$gte": from_ms, "$lt": to_ms}}, session=session)
    found = found.sort("_id.minute").limit(most + 1) if most else found
    return {(one["_id"]["partition"], one["_id"]["minute"]): one async for one in found}


async def _ends_before(
    group: Database, partitions: set[int], from_ms: int, session: AsyncClientSession
) -> dict[int, int | None]:
    """Where each partition's last minute before the range ended."""
    ends: dict[int, int | None] = {}
    for partition in partitions:
        before = {"_id.partition": partition, "_id.minute": {"$lt": from_ms}, "end_offset": {"$exists": True}}
        found = await group["ledger"].find_one(before, sort=[("_id.minute", DESCENDING)], session=session)
        ends[partition] = None if found is None else found["end_offset"]
    return ends


async def _waiting(
    group: Database, counted: Mapping[Key, Mapping[str, Any]], session: AsyncClientSession
) -> Counter[Key]:
    """Events in the outbox, by partition and minute."""
    waiting: Counter[Key] = Counter()
    for partition in {partition for partition, _ in counted}:
        rows = [counts for (of, _), counts in counted.items() if of == partition and "first_offset" in counts]
        if not rows:
            continue
        first, end = min(one["first_offset"] for one in rows), max(one["end_offset"] for one in rows)
        async for chunk in _chunks(group, partition, first, end, session):
            for minute, events in chunk["minutes"]:
                waiting[partition, minute] += events
    return waiting


async def _chunks(
    group: Database, partition: int, first: int, end: int, session: AsyncClientSession
) -> AsyncIterator[dict[str, Any]]:
    """The waiting chunks that begin in the offsets [first, end), and those before that may reach into them.

    Chunks do not overlap, so the last one before with more than one event is the last that can; a dead letter that was
    redone is a chunk of its own and may stand behind it. Found by the index of `_id`: an outbox that nobody archives
    holds more than could be read here.
    """

    def between(lower: int, upper: int) -> dict[str, Any]:
        keys = [{"partition": partition, "first_offset": offset} for offset in (lower, upper)]
        return {"_id": {"$gte": keys[0], "$lt": keys[1]}}

    chunks, shown = group["chunks"], {"minutes": 1, "events": 1}
    async for chunk in chunks.find(between(0, first), shown, session=session).sort("_id", DESCENDING):
        yield chunk
        if chunk["events"] > 1:
            break
    async for chunk in chunks.find(between(first, end), shown, session=session):
        yield chunk
