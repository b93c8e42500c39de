"""A file gives back every event as it was, in the order that readers rely on, whatever its texts contain."""

import uuid
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pistats.identity import bucket_of
from pistats.warehouse import parquet
from pistats.warehouse.chunk import events_to_batch
from pistats.warehouse.parquet import FILE_SCHEMA, FileCursor, read_rows, to_file_rows, with_buckets, write_rows
from pistats.warehouse.source import EventSet
from pistats.warehouse.storage import Storage
from tests.warehouse_events import DAY_MS, NOON, SITE, an_event, read_all, some_events

HOSTILE = st.text(st.characters(exclude_categories=["Cs"]), max_size=40) | st.sampled_from(
    ["'; DROP TABLE events; --", "$where", "\x00", "\u202e<b>", "NULL", "null", '"', "%s", "{}", "-", "=1+1"]
)
IDS = (
    st.uuids().map(str)
    | st.uuids().map(lambda value: value.hex)
    | st.uuids().map(lambda value: str(value).upper())
    | st.uuids().map(lambda value: value.hex.upper())
    | st.uuids().map(lambda value: str(value)[:-1] + "G")
    | st.uuids().map(lambda value: str(value) + "\n")
    | st.uuids().map(lambda value: "{" + str(value) + "}")
    | HOSTILE.filter(bool)
)
NUMBER = st.integers(-(2**63), 2**63 - 1)


def table(events: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_batches([events_to_batch(events)])


def written(folder: Path, events: list[dict[str, Any]]) -> Storage:
    storage = Storage(folder)
    write_rows(storage, "a/b.parquet", [to_file_rows(table(events))])
    return storage


def event_set(storage: Storage, from_ms: int = 0, to_ms: int = 2**62) -> EventSet:
    files = (storage.location("a/b.parquet"),)
    return EventSet(SITE, files, None, from_ms, to_ms, None, (), storage)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            IDS, HOSTILE.filter(bool), HOSTILE | st.none(), NUMBER, st.none() | NUMBER, st.integers(0, 2**62 - 1)
        ),
        min_size=1,
        max_size=30,
    )
)
def test_any_event_comes_back_exactly_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, values: list[tuple[str, str, str | None, int, int | None, int]]
) -> None:
    events = [
        an_event(
            number,
            event_id=event_id,
            visitor_id=visitor,
            **dict.fromkeys(("url", "title", "user_agent", "path", "city", "term"), text),
            received_time=received,
            time=time,
            event_time=event_time,
            is_bot=number % 2 == 0,
            properties={"k": text} if text else None,
        )
        for number, (event_id, visitor, text, received, time, event_time) in enumerate(values)
    ]
    expected = [{**row, "bucket": bucket_of(SITE, row["visitor_id"])} for row in events_to_batch(events).to_pylist()]

    storage = written(tmp_path_factory.mktemp("root"), events)

    assert read_all(event_set(storage)) == expected


def test_rows_are_sorted_by_bucket_visitor_and_time(tmp_path: Path) -> None:
    events = [an_event(number, visitor_id=f"v{number % 11}", event_time=NOON - number) for number in range(500)]

    rows = read_rows(written(tmp_path, events), "a/b.parquet").to_pylist()

    keys = [(row["bucket"], row["visitor_id"], row["event_time"], row["offset"]) for row in rows]
    assert keys == sorted(keys)
    assert len(rows) == 500


def test_an_id_of_32_hex_digits_takes_16_bytes(tmp_path: Path) -> None:
    storage = written(tmp_path, [an_event(1, event_id=str(uuid.UUID(int=5))), an_event(2, event_id="order-7")])

    rows = read_rows(storage, "a/b.parquet").sort_by("offset").to_pylist()

    assert [row["event_id"] for row in rows] == [None, "order-7"]
    assert [row["event_uuid"] for row in rows] == [uuid.UUID(int=5), None]


def test_one_bucket_is_read_without_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "ROW_GROUP_ROWS", 100)
    storage = written(tmp_path, [an_event(number, visitor_id=f"v{number % 300}") for number in range(3_000)])
    bucket = bucket_of(SITE, "v5")

    rows = read_rows(storage, "a/b.parquet", (bucket, bucket))

    metadata = pq.ParquetFile(storage.location("a/b.parquet")).metadata
    groups = [metadata.row_group(group) for group in range(metadata.num_row_groups)]
    assert len(groups) >= 20
    assert sum(parquet._holds(group, (bucket, bucket)) for group in groups) <= 2
    assert set(rows["bucket"].to_pylist()) == {bucket}
    assert rows.num_rows == 10 * sum(bucket_of(SITE, f"v{number}") == bucket for number in range(300))


def test_a_range_of_time_has_its_beginning_and_not_its_end(tmp_path: Path) -> None:
    storage = written(tmp_path, some_events(10))

    found = read_all(event_set(storage, NOON + 2_000, NOON + 5_000))

    assert [event["offset"] for event in found] == [2, 3, 4]


def test_buckets_are_those_of_each_events_own_site() -> None:
    events = [an_event(number, site=f"s{number % 3}", visitor_id=f"v{number % 5}") for number in range(30)]

    rows = with_buckets(events_to_batch(events)).to_pylist()

    assert [row["bucket"] for row in rows] == [bucket_of(event["site"], event["visitor_id"]) for event in events]


def test_a_file_of_no_events_has_the_columns_of_every_file(tmp_path: Path) -> None:
    storage = written(tmp_path, [])

    assert pq.read_schema(storage.location("a/b.parquet")).names == FILE_SCHEMA.names
    assert read_all(event_set(storage, 0, DAY_MS)) == []


@settings(deadline=None)
@given(st.lists(st.integers(0, 63), min_size=1, max_size=12))
def test_a_cursor_gives_every_row_once_in_order(tmp_path_factory: pytest.TempPathFactory, steps: list[int]) -> None:
    storage = written(tmp_path_factory.mktemp("root"), [an_event(n, visitor_id=f"v{n % 50}") for n in range(300)])
    whole = read_rows(storage, "a/b.parquet")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet, "CURSOR_ROWS", 7)
        cursor = FileCursor(storage, "a/b.parquet")
        parts = [cursor.up_to(bucket) for bucket in [*sorted(steps), 63]]

    assert pa.concat_tables(parts).to_pylist() == whole.to_pylist()
    for bucket, part in zip(sorted(steps), parts, strict=False):
        assert all(found <= bucket for found in part["bucket"].to_pylist())
