"""Positions as text."""

import pickle

import pytest

from pistats.stream.position import (
    MalformedPositionError,
    Position,
    PositionKind,
    TrimmedPositionError,
    parse_position,
)


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("trim-horizon", Position(PositionKind.TRIM_HORIZON)),
        ("latest", Position(PositionKind.LATEST)),
        ("offset:0", Position(PositionKind.AT_OFFSET, 0)),
        ("after:17", Position(PositionKind.AFTER_OFFSET, 17)),
        ("time:2026-11-23T10:00:00Z", Position(PositionKind.AT_TIMESTAMP, 1_795_428_000_000)),
        ("time:2026-11-23T11:00:00.250+01:00", Position(PositionKind.AT_TIMESTAMP, 1_795_428_000_250)),
    ],
)
def test_reads_every_kind(text: str, position: Position):
    assert parse_position(text) == position
    assert parse_position(str(position)) == position


@pytest.mark.parametrize(
    "text",
    ["", "first", "offset", "offset:", "offset:-1", "offset:1.5", "offset:٣", "after:x", "latest:1", "LATEST",
     "time:2026-11-23T10:00:00", "time:yesterday", "time:1790000000000"],
)  # fmt: skip
def test_says_what_a_position_looks_like(text: str):
    with pytest.raises(MalformedPositionError, match="write trim-horizon, latest, offset:N, after:N or time:"):
        parse_position(text)


def test_the_gap_survives_the_way_between_processes():
    error = pickle.loads(pickle.dumps(TrimmedPositionError("gone", 17)))
    assert (str(error), error.first_offset) == ("gone", 17)
