"""A quiet system around some events: two partitions, a ledger that adds up, a dead letter, jobs, a shadow group."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pistats.clock import now_ms
from pistats.consumer.groups import Groups
from pistats.identity import bucket_of, partition_of
from pistats.jobs.arguments import JobArguments
from pistats.jobs.plan import plan
from pistats.jobs.runs import Runs
from pistats.settings import MongoSettings, Settings
from pistats.status_board import StatusBoard
from pistats.warehouse.archive import Archive
from pistats.warehouse.storage import Storage
from pistats.warehouse.writer import FileWriter
from tests.browser.running_dashboard import Dashboard
from tests.contract.test_status_board import status
from tests.warehouse_events import an_event, chunk_document

PARTITIONS, MINUTE_MS = 2, 60_000
PAYLOAD = b'{"site":"news.example","name":"page_view","url":"https://[news.example/sport/final","visitor_id":"v7"}'
TOOK_MS = {"archive": 1_840, "rollup": 4_210, "parity": 9_300, "retention": 12_700, "compact": 6_050}
RESULTS = {
    "rollup": {"rollups": 6, "days": 1},
    "parity": {"days": 1, "differences": 0},
    "retention": {"cohorts": 29, "cells": 435},
    "compact": {"files": 12, "rewritten": 3},
}

Event = dict[str, Any]


def with_offsets(events: Iterable[Event], dead_after: int) -> list[Event]:
    """The events, which are in order, at their partitions and offsets. One offset of partition 0 stays free.

    It is that of a dead letter: the next one after `dead_after`, Unix ms.
    """
    next_offset, dead = dict.fromkeys(range(PARTITIONS), 0), False
    placed = []
    for one in events:
        partition = partition_of(bucket_of(one["site"], one["visitor_id"]), PARTITIONS)
        if partition == 0 and not dead and one["received_time"] >= dead_after:
            next_offset[partition], dead = next_offset[partition] + 1, True
        placed.append({**one, "partition": partition, "offset": next_offset[partition]})
        next_offset[partition] += 1
    return placed


async def operations(dashboard: Dashboard, data: Path) -> None:
    """A quarter of an hour of such a system."""
    now = now_ms()
    events = [
        an_event(number, visitor_id=f"v{number % 50}", event_time=time, received_time=time)
        for number, time in enumerate(range(now - 14 * MINUTE_MS, now, 4_000))
    ]
    await quiet_system(dashboard, with_offsets(events, now - 9 * MINUTE_MS), data)


async def quiet_system(dashboard: Dashboard, events: Sequence[Event], data: Path) -> None:
    """Everything that a system would have written about these events, which are `with_offsets`."""
    settings = Settings(data=data, mongodb=MongoSettings(database_prefix=dashboard.system.name))
    groups = Groups(dashboard.system, settings)
    await groups.settle()
    for partition in range(PARTITIONS):
        await _partition(dashboard, partition, [one for one in events if one["partition"] == partition])
    await dashboard.group.members.insert_one(
        {
            "_id": "consumer-0",
            "expires_at": datetime.now(UTC) + timedelta(hours=1),
            "partitions": list(range(PARTITIONS)),
        }
    )
    writer = FileWriter(Storage(settings.warehouse_root), "live", "archive-1")
    archive = Archive(dashboard.group, dashboard.system, Storage(settings.warehouse_root), writer, unit_events=200_000)
    archived = await archive.run()
    numbers = {"events": archived.events, "chunks": archived.chunks, "files": archived.files, "bytes": archived.bytes}
    await _jobs(dashboard, settings, {**RESULTS, "archive": numbers})
    await _shadow(dashboard, groups)
    await still_well(dashboard)


async def _partition(dashboard: Dashboard, partition: int, events: Sequence[Event]) -> None:
    """The outbox, the ledger, the checkpoint and the dead letter of one partition."""
    minutes = {
        offset: one["received_time"] // MINUTE_MS * MINUTE_MS for one in events if (offset := one["offset"]) >= 0
    }
    kinds = {one["offset"]: "bots" if one["is_bot"] else "enriched" for one in events}
    for dead in set(range(len(events))) - set(minutes):
        kinds[dead], minutes[dead] = "dead_lettered", minutes[dead - 1]
        await dashboard.group.dead_letters.insert_one(_letter(partition, dead, minutes[dead]))
    nothing = {"enriched": 0, "bots": 0, "dead_lettered": 0, "erased": 0, "duplicates": 0}
    rows: dict[int, Counter[str]] = {}
    for offset in sorted(minutes):
        rows.setdefault(minutes[offset], Counter())[kinds[offset]] += 1
    end, documents = 0, []
    for minute, counts in rows.items():
        offsets = {"first_offset": end, "end_offset": end + counts.total(), "consumed": counts.total()}
        documents.append({"_id": {"partition": partition, "minute": minute}, **nothing, **counts, **offsets})
        end += counts.total()
    await dashboard.group.ledger.insert_many(documents)
    await dashboard.group.chunks.insert_one(chunk_document(events))
    counts = {kind: sum(row[kind] for row in rows.values()) for kind in ("enriched", "bots", "dead_lettered", "erased")}
    checkpoint = {"offset": end, "start_offset": 0, "counts": counts, "owner": "consumer-0", "epoch": 3}
    caught_up = {"append_time": now_ms(), "caught_up": True}
    await dashboard.group.partitions.update_one({"_id": partition}, {"$set": {**checkpoint, **caught_up}}, upsert=True)
    if partition == 0:
        dashboard.offset = end


def _letter(partition: int, offset: int, minute: int) -> dict[str, Any]:
    return {
        "_id": {"partition": partition, "offset": offset},
        "append_minute": minute,
        "stage": "page",
        "reason": "step_failed",
        "detail": "ValueError: Invalid IPv6 URL",
        "payload": PAYLOAD,
        "code_version": "0.1.0",
        "created_at": datetime.fromtimestamp(minute / 1000, UTC),
    }


async def _jobs(dashboard: Dashboard, settings: Settings, results: dict[str, Any]) -> None:
    """Each job's last run at its time, and how long it took."""
    for planned in plan(settings.jobs):
        began = planned.slot(now_ms()) + 900
        for time, ends in ((began, False), (began + TOOK_MS[planned.job], True)):
            runs = Runs(dashboard.system, lambda now=time: now)
            if ends:
                await runs.end(f"{planned.job}-1", result={"live": results[planned.job]})
            else:
                await runs.start(f"{planned.job}-1", planned.job, JobArguments())


async def _shadow(dashboard: Dashboard, groups: Groups) -> None:
    """A group that has counted two thirds of the log again."""
    await groups.create("mended", "trim-horizon")
    shadow = groups.database("mended")
    async for live in dashboard.group.partitions.find():
        behind = {"offset": live["offset"] * 2 // 3, "append_time": now_ms() - 40 * MINUTE_MS, "caught_up": False}
        await shadow.partitions.insert_one({"_id": live["_id"], **behind})


async def still_well(dashboard: Dashboard) -> None:
    """The consumers have just looked, and the logs have just told how they are."""
    await dashboard.group.partitions.update_many({}, [{"$set": {"checked_at": "$$NOW", "committed_at": "$$NOW"}}])
    ends = [one["offset"] async for one in dashboard.group.partitions.find().sort("_id")]
    await StatusBoard(dashboard.system).post([status(number, end_offset=end) for number, end in enumerate(ends)])
