"""Is the system well? One report of partitions, consumers and the ledger, behind `pistats status` and the dashboard."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from pistats.consumer.checkpoints import waiting_s
from pistats.consumer.tally import OUTCOMES
from pistats.ledger import LedgerState, check_ledger, unarchived
from pistats.stream.partition import PartitionStatus

STALE_S = 15.0
"""A consumer looks at each of its partitions every second or two; after this long, nobody does."""
LATE_S = 60.0
"""Records that wait this long are no longer live."""
MAX_LEDGER_PROBLEMS = 10
"""Shown at once: one lost flush can be in the way of every minute after it."""


@dataclass(frozen=True, slots=True)
class PartitionReport:
    """One partition, from the log and from the group's checkpoint. None: not known, because that side is silent."""

    partition: int
    epoch: int | None
    first_offset: int | None
    end_offset: int | None
    committed_offset: int
    lag_events: int | None
    lag_s: float
    """Age of the oldest record that may not be consumed yet; 0 when there is none."""
    duplicates: int | None
    conflicting_duplicates: int | None
    bytes_on_disk: int | None
    consumer: str | None
    consumer_epoch: int
    enriched: int
    bots: int
    dead_lettered: int
    erased: int
    difference: int
    """Consumed offsets less counted outcomes: anything but 0 is an event lost or counted twice."""
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SystemReport:
    """The whole system. `healthy` when no partition has a problem."""

    healthy: bool
    group: str
    lag_events: int
    lag_s: float
    ledger: dict[str, int]
    partitions: tuple[PartitionReport, ...]
    consumers: tuple[dict[str, Any], ...]
    problems: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain values, as `pistats status --json` prints them."""
        return asdict(self)


def system_report(
    group: str,
    partitions: Sequence[PartitionStatus | None],
    checkpoints: Mapping[int, Mapping[str, Any]],
    members: Sequence[Mapping[str, Any]],
    now: datetime,
    ledger: LedgerState,
    failing: Sequence[str] = (),
) -> SystemReport:
    """Bring both sides together. `partitions[i]` is what the log of partition i says, None when it doesn't answer.

    `checkpoints`: documents of the group's `partitions` by partition. `members`: documents of its `members`.
    `now` by MongoDB's clock, which wrote the documents. `ledger` has checkpoints of its own moment.
    `failing`: what is to be said of jobs that fail again and again, and of groups that cannot begin.
    """
    reports = tuple(
        _partition_report(number, status, checkpoints.get(number, {}), now) for number, status in enumerate(partitions)
    )
    consumers = tuple(
        {
            "name": member["_id"],
            "alive": member["expires_at"] > now,
            "partitions": list(member.get("partitions", ())),
            "errors": dict(member.get("errors", {})),
        }
        for member in members
    )
    problems = tuple(f"partition {one.partition}: {problem}" for one in reports for problem in one.problems)
    problems += tuple(
        f"partition {partition}: {consumer['name']} cannot go on: {error}"
        for consumer in consumers
        if consumer["alive"]
        for partition, error in consumer["errors"].items()
    )
    if not any(consumer["alive"] for consumer in consumers):
        problems += ("no consumer is alive: the supervisor starts one within seconds, see the Ray logs if it doesn't",)
    problems += tuple(failing)
    problems += tuple(f"the ledger: {problem}" for problem in check_ledger(ledger)[:MAX_LEDGER_PROBLEMS])
    return SystemReport(
        healthy=not problems,
        group=group,
        lag_events=sum(one.lag_events or 0 for one in reports),
        lag_s=max((one.lag_s for one in reports), default=0.0),
        ledger=_ledger(reports, ledger),
        partitions=reports,
        consumers=consumers,
        problems=problems,
    )


def _partition_report(
    number: int, log: PartitionStatus | None, checkpoint: Mapping[str, Any], now: datetime
) -> PartitionReport:
    committed = int(checkpoint.get("offset") or 0)
    counts = dict.fromkeys(OUTCOMES, 0) | (checkpoint.get("counts") or {})
    lag_events = None if log is None else max(0, log.end_offset - committed)
    lag_s = 0.0 if lag_events == 0 else waiting_s(checkpoint, now)
    difference = committed - int(checkpoint.get("start_offset") or 0) - sum(counts.values())
    return PartitionReport(
        partition=number,
        epoch=log.epoch if log else None,
        first_offset=log.first_offset if log else None,
        end_offset=log.end_offset if log else None,
        committed_offset=committed,
        lag_events=lag_events,
        lag_s=lag_s,
        duplicates=log.duplicates if log else None,
        conflicting_duplicates=log.conflicting_duplicates if log else None,
        bytes_on_disk=log.bytes_on_disk if log else None,
        consumer=checkpoint.get("owner") or None,
        consumer_epoch=int(checkpoint.get("epoch") or 0),
        **counts,
        difference=difference,
        problems=tuple(_problems(log, checkpoint, lag_s, difference, now)),
    )


def _problems(
    log: PartitionStatus | None, checkpoint: Mapping[str, Any], lag_s: float, difference: int, now: datetime
) -> list[str]:
    problems = []
    if log is None:
        problems.append("its log doesn't answer; it restarts by itself, see the Ray logs if it doesn't")
    elif log.state != "open":
        problems.append(f"its log has stopped: {log.stopped_reason}; run `pistats stream verify` on its directory")
    elif log.refusing is not None:
        problems.append(f"it takes no new events: {log.refusing}")
    offset = checkpoint.get("offset")
    if log is not None and offset is not None and offset < log.first_offset:
        problems.append(
            f"a gap: its records {offset} to {log.first_offset - 1} were removed before they were consumed, and its "
            "consumer has stopped there; restore the log and MongoDB from one backup"
        )
    checked = checkpoint.get("checked_at")
    if checked is None or (now - checked).total_seconds() > STALE_S:
        problems.append("no consumer has looked at it for a while; another takes over when the lease runs out")
    if lag_s > LATE_S:
        problems.append(f"its oldest waiting record is {lag_s:.0f} s old")
    if difference:
        problems.append(f"the ledger is {difference} off: compare `pistats stream tail` with the dead letters")
    return problems


def _ledger(reports: Sequence[PartitionReport], state: LedgerState) -> dict[str, int]:
    totals = {name: sum(getattr(one, name) for one in reports) for name in (*OUTCOMES, "difference")}
    return {
        "appended": sum(one.end_offset or 0 for one in reports),
        "duplicates": sum(one.duplicates or 0 for one in reports),
        "consumed": sum(one.committed_offset for one in reports),
        **totals,
        "archived": state.archived,
        "waiting": state.waiting,
        "unarchived": unarchived(state),
    }
