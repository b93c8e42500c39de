"""Whatever is lost, left out or counted twice, the check of the ledger says so."""

from typing import Any

from pistats.ledger import LedgerState, check_ledger

MINUTE = 60_000


def row(minute: int, first: int, end: int, **changes: int) -> dict[str, Any]:
    counts = {"consumed": end - first, "enriched": end - first - 3, "bots": 1, "dead_lettered": 1, "erased": 1}
    return {"_id": {"partition": 0, "minute": minute}, "first_offset": first, "end_offset": end, **counts, **changes}


def state(*rows: dict[str, Any], offset: int = 20, archived: int = 10, waiting: int = 6) -> LedgerState:
    counts = {"enriched": 14, "bots": 2, "dead_lettered": 2, "erased": 2}
    return LedgerState(rows, {0: {"_id": 0, "offset": offset, "counts": counts}}, archived, waiting)


GOOD = (row(0, 0, 10), row(5 * MINUTE, 10, 20))


def test_what_adds_up_is_well_in_any_order() -> None:
    assert check_ledger(state(*GOOD)) == []
    assert check_ledger(state(*reversed(GOOD))) == []
    assert check_ledger(LedgerState([], {}, 0, 0)) == []


def test_offsets_left_out_or_counted_twice_are_found() -> None:
    (gap,) = check_ledger(state(GOOD[0], row(5 * MINUTE, 12, 20)))
    assert "minute 300000 begins with offset 12, the one before it ended at 10" in gap
    (twice,) = check_ledger(state(GOOD[0], row(5 * MINUTE, 8, 20)))
    assert "begins with offset 8" in twice
    (behind,) = check_ledger(state(*GOOD, offset=25))
    assert "checkpoint is at 25, its ledger ends at 20" in behind


def test_an_outcome_too_many_or_too_few_is_found() -> None:
    (lost,) = check_ledger(state(GOOD[0], row(5 * MINUTE, 10, 20, enriched=6)))
    assert "minute 300000: 10 offsets, 10 consumed, 9 outcomes counted" in lost


def test_an_event_that_the_warehouse_lacks_or_has_twice_is_found() -> None:
    (missing,) = check_ledger(state(*GOOD, waiting=5))
    assert missing.startswith("1 events are missing")
    (twice,) = check_ledger(state(*GOOD, archived=12))
    assert twice.startswith("2 events are there twice")
