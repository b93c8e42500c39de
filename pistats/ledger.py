"""The check of the ledger: every record has become one thing, and every event is in the warehouse or waits for it.

    consumed = enriched + bots + dead-lettered + erased = offsets      per minute, and the minutes leave no offset out
    enriched + bots = archived + waiting in the outbox                 over everything that was ever consumed

Nothing here is counted twice from one source: outcomes are counted by the consumer, offsets by the log, archived events
by the archive, and what waits by the chunks themselves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import pymongo

from pistats.consumer.tally import OUTCOMES
from pistats.mongo.indexes import COUNTED, Database

WINDOW_MS = 24 * 3_600_000
"""Minutes that are looked at one by one; of older ones the totals are checked."""

READ_TIMEOUT_S = 20.0
"""A year of minutes is added up in a second."""

Row = Mapping[str, Any]
"""A document of `ledger`."""


@dataclass(frozen=True, slots=True)
class LedgerState:
    """What is stored, all of it as of one moment."""

    rows: Sequence[Row]  # of the window
    checkpoints: Mapping[int, Mapping[str, Any]]  # documents of `partitions`
    archived: int  # events, over all time
    waiting: int  # events in the outbox


async def read_ledger(group: Database, now_ms: int) -> LedgerState:
    """What the check needs, in one snapshot: commits and archive runs go on meanwhile."""
    with pymongo.timeout(READ_TIMEOUT_S):
        async with group.client.start_session(snapshot=True) as session:
            since = {"_id.minute": {"$gte": now_ms - WINDOW_MS}}
            rows = await group["ledger"].find(since, session=session).to_list()
            checkpoints = await group["partitions"].find(session=session).to_list()
            counted = []
            for name in ("archived", "chunks"):
                pipeline: list[dict[str, Any]] = [
                    {"$match": {"_id.partition": {"$gte": 0}}},
                    {"$group": {"_id": None, "events": {"$sum": "$events"}}},
                ]
                found = await group[name].aggregate(pipeline, session=session, hint=COUNTED)
                counted.append(sum([one["events"] async for one in found]))
    return LedgerState(rows, {one["_id"]: one for one in checkpoints}, *counted)


def unarchived(state: LedgerState) -> int:
    """Events that were counted less those in the warehouse or on their way. Positive: lost. Negative: there twice."""
    counts = [one.get("counts") or {} for one in state.checkpoints.values()]
    counted: int = sum(one.get("enriched", 0) + one.get("bots", 0) for one in counts)
    return counted - state.archived - state.waiting


def check_ledger(state: LedgerState) -> list[str]:
    """What does not add up, in words; empty: everything does."""
    found = []
    ordered = sorted(state.rows, key=lambda row: (row["_id"]["partition"], row["_id"]["minute"]))
    for partition, rows in groupby(ordered, key=lambda row: row["_id"]["partition"]):
        found += [
            f"partition {partition}: {problem}" for problem in _problems(list(rows), state.checkpoints.get(partition))
        ]
    if missing := unarchived(state):
        found.append(
            f"{abs(missing):,} events {'are missing from' if missing > 0 else 'are there twice in'} the warehouse and "
            "its outbox: `GET /api/v1/ledger` shows in which minutes"
        )
    return found


def _problems(rows: Sequence[Row], checkpoint: Mapping[str, Any] | None) -> list[str]:
    found = []
    end = None
    for row in rows:
        minute, first = row["_id"]["minute"], row["first_offset"]
        if end is not None and first != end:
            found.append(f"minute {minute} begins with offset {first}, the one before it ended at {end}")
        end = row["end_offset"]
        outcomes = sum(row[outcome] for outcome in OUTCOMES)
        if not row["consumed"] == outcomes == end - first:
            found.append(
                f"minute {minute}: {end - first} offsets, {row['consumed']} consumed, {outcomes} outcomes counted"
            )
    offset = None if checkpoint is None else checkpoint["offset"]
    if rows and offset != end:
        found.append(f"its checkpoint is at {offset}, its ledger ends at {end}")
    return found
