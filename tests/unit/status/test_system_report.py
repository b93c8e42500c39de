"""What `pistats status` makes of what the log and the consumers say."""

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console

from pistats.cli.status import _show
from pistats.ledger import LedgerState
from pistats.status import SystemReport, system_report
from pistats.stream.partition import PartitionStatus

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
LOG = PartitionStatus(
    partition=0,
    state="open",
    stopped_reason=None,
    log="file",
    epoch=3,
    first_offset=0,
    end_offset=100,
    appended=100,
    duplicates=2,
    conflicting_duplicates=0,
    pending_bytes=0,
    segments=1,
    bytes_on_disk=5_000,
    oldest_append_time=0,
    last_append_time=0,
    dedupe_ids=100,
    dedupe_bytes=1_400,
    indexes_rebuilt=0,
    refusing=None,
    cut_bytes=0,
    held_back_segments=0,
    started_time=0,
)
MEMBER = {"_id": "consumer-live-0", "expires_at": NOW + timedelta(seconds=5), "partitions": [0]}


def checkpoint(offset: int, **changes: Any) -> dict[str, Any]:
    counts = {"enriched": offset - 3, "bots": 2, "dead_lettered": 1}
    fresh = {"owner": "consumer-live-0", "epoch": 1, "offset": offset, "counts": counts, "caught_up": True}
    return {**fresh, "checked_at": NOW - timedelta(seconds=1), "append_time": None, **changes}


def report(log: PartitionStatus | None, stored: dict[str, Any] | None, members: Any = (MEMBER,)) -> SystemReport:
    checkpoints = {} if stored is None else {0: stored}
    counted = sum(one["counts"]["enriched"] + one["counts"]["bots"] for one in checkpoints.values())
    ledger = LedgerState([], checkpoints, archived=0, waiting=counted)
    return system_report("live", [log], checkpoints, members, NOW, ledger)


def test_everything_consumed_is_healthy_and_adds_up() -> None:
    well = report(LOG, checkpoint(100))

    assert well.healthy
    assert (well.lag_events, well.lag_s) == (0, 0.0)
    assert well.ledger == {
        "appended": 100,
        "duplicates": 2,
        "consumed": 100,
        "enriched": 97,
        "bots": 2,
        "dead_lettered": 1,
        "erased": 0,
        "difference": 0,
        "archived": 0,
        "waiting": 99,
        "unarchived": 0,
    }


def test_waiting_records_are_lag_and_old_ones_a_problem() -> None:
    appended = int((NOW - timedelta(minutes=5)).timestamp() * 1000)
    behind = report(LOG, checkpoint(40, caught_up=False, append_time=appended))

    assert (behind.lag_events, behind.lag_s) == (60, 300.0)
    assert "300 s old" in behind.problems[0]


def test_a_count_that_does_not_match_the_offset_is_never_healthy() -> None:
    counts = {"enriched": 98, "bots": 2, "dead_lettered": 1}
    twice = report(LOG, checkpoint(100, counts=counts))

    assert not twice.healthy
    assert twice.ledger["difference"] == -1


def test_silence_is_a_problem_on_either_side() -> None:
    assert "log doesn't answer" in report(None, checkpoint(100)).problems[0]
    forgotten = report(LOG, checkpoint(100, checked_at=NOW - timedelta(minutes=1)))
    assert "no consumer has looked" in forgotten.problems[0]
    assert "no consumer is alive" in report(LOG, checkpoint(100), members=()).problems[-1]


def test_a_log_that_has_never_been_consumed_is_not_yet_well() -> None:
    new = report(replace(LOG, end_offset=0), None)

    assert (new.healthy, new.lag_events) == (False, 0)


def test_a_consumer_that_was_overtaken_by_the_retention_is_told_the_gap() -> None:
    overtaken = report(replace(LOG, first_offset=50), checkpoint(40))

    assert not overtaken.healthy
    assert "records 40 to 49 were removed before they were consumed" in overtaken.problems[0]
    assert report(replace(LOG, first_offset=50), checkpoint(100)).healthy


def test_the_table_says_when_ids_came_again_with_another_body() -> None:
    console = Console(record=True, width=160, file=io.StringIO())

    _show(report(replace(LOG, conflicting_duplicates=1), checkpoint(100)), console)

    assert "2, 1 differ" in console.export_text()


def test_why_a_log_or_a_consumer_cannot_go_on_is_said() -> None:
    full = report(replace(LOG, refusing="the disk is 96% full"), checkpoint(100))
    assert "takes no new events: the disk is 96% full" in full.problems[0]
    stopped = report(replace(LOG, state="stopped", stopped_reason="a bad frame"), checkpoint(100))
    assert "its log has stopped: a bad frame" in stopped.problems[0]
    poisoned = report(LOG, checkpoint(100), members=({**MEMBER, "errors": {"0": "DocumentTooLarge: x"}},))
    assert poisoned.problems == ("partition 0: consumer-live-0 cannot go on: DocumentTooLarge: x",)


def test_a_ledger_that_does_not_add_up_is_never_healthy() -> None:
    stored = {0: checkpoint(100)}

    lost = system_report("live", [LOG], stored, (MEMBER,), NOW, LedgerState([], stored, archived=90, waiting=0))

    (problem,) = lost.problems
    assert problem.startswith("the ledger: 9 events are missing from the warehouse and its outbox")
    assert lost.ledger["unarchived"] == 9
