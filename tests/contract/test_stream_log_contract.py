"""What every log promises, over each of them: real files, a real mongod."""

import threading
import uuid
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from pistats.errors import FencedError, OverloadedError
from pistats.settings import StreamSettings
from pistats.stream import frame
from pistats.stream.batch import Appended, Batch, Record
from pistats.stream.file_log import FileLog
from pistats.stream.log import LogStoppedError, StreamLog
from pistats.stream.mongo_log import MongoLog
from pistats.stream.position import (
    BeyondEndError,
    FutureTimeError,
    TrimmedPositionError,
    parse_position,
    resolve_position,
)

SETTINGS = StreamSettings(segment_bytes=4_096, log_retention_s=3_600, disk_high_water=1.0)
START = 1_790_000_000_000


class Logs:
    """Opens the same log again and again, at a time that the test sets."""

    def __init__(self, open_log: Callable[[StreamSettings, Callable[[], int]], StreamLog]) -> None:
        self._open = open_log
        self.now = START
        self.opened: list[StreamLog] = []

    def open(self, **changes: Any) -> StreamLog:
        log = self._open(SETTINGS.model_copy(update=changes), lambda: self.now)
        self.opened.append(log)
        return log


@pytest.fixture(params=["file", "mongo"])
def logs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Logs]:
    if request.param == "file":
        yield Logs(lambda settings, clock: FileLog.open(tmp_path / "0", 0, settings, clock))
        return
    client: MongoClient[dict[str, Any]] = MongoClient(request.getfixturevalue("mongo_uri"))
    database = f"test_{uuid.uuid4().hex[:12]}"
    # other partitions in the same collection are none of its business
    for neighbour in (0, 2):
        MongoLog.open(client, database, neighbour, SETTINGS).append([batch(1, "neighbour")])
    yield Logs(lambda settings, clock: MongoLog.open(client, database, 1, settings, clock))
    client.drop_database(database)
    client.close()


def batch(number: int, *ids: str, body: str = "") -> Batch:
    payloads = [f'{{"received_time":{number},"event_id":"{i}","name":"{body}"}}'.encode() for i in ids]
    return Batch(number.to_bytes(16), [b"s\x1f" + i.encode() for i in ids], payloads)


def records(log: StreamLog, offset: int | None = None, max_bytes: int = 2_000) -> list[Record]:
    found: list[Record] = []
    offset = log.first_offset if offset is None else offset
    start = offset
    while offset < log.end_offset:
        fetched = log.read(offset, max_bytes)
        found += [record for encoded in fetched.frames for record in frame.decode(encoded) if record.offset >= start]
        offset = fetched.next_offset
    return found


def ids(log: StreamLog) -> list[str]:
    return [record.key.decode().removeprefix("s\x1f") for record in records(log)]


def test_appends_are_read_back_in_order_at_dense_offsets(logs: Logs):
    log = logs.open()
    expected = []
    for number in range(1, 40):
        names = [f"{number}-{i}" for i in range(number % 5 + 1)]
        (answer,) = log.append([batch(number, *names)])
        assert answer == Appended(len(expected), [], log.epoch)
        expected += names
    for max_bytes in (1, 700, 1_000_000):
        found = records(log, max_bytes=max_bytes)
        assert [record.offset for record in found] == list(range(len(expected)))
    assert ids(log) == expected
    assert [record.offset for record in records(log, 50)] == list(range(50, len(expected)))


def test_an_empty_log_reads_as_empty(logs: Logs):
    log = logs.open()
    fetched = log.read(0, 1_000)
    assert (fetched.frames, fetched.next_offset, fetched.end_offset, fetched.oldest_append_time) == ([], 0, 0, None)
    assert log.stats().last_append_time is None


def test_the_chain_of_crcs_runs_through_restarts(logs: Logs):
    for number in range(1, 4):
        logs.open().append([batch(number, f"{number}")])
    log = logs.open()
    headers = [frame.checked_header(encoded) for encoded in log.read(0, 1_000_000).frames]
    assert [header.epoch for header in headers] == [log.epoch - 3, log.epoch - 2, log.epoch - 1]
    if isinstance(log, FileLog):  # in MongoDB the empty frames of the epochs lie between them
        assert all(after.previous_crc == before.crc for before, after in pairwise(headers))


def test_a_look_up_says_what_is_stored_and_stores_nothing(logs: Logs):
    old = logs.open()
    first = old.append([batch(1, "a"), batch(2, "b", "a")])
    log = logs.open()
    asked = log.look_up([batch(2, "b", "a"), batch(3, "c", "b", "c"), batch(4, "d")])
    assert asked == [
        Appended(1, [1], log.epoch),  # this very batch: the answer that it got
        Appended(2, [1], log.epoch, [0, 2]),
        Appended(2, [], log.epoch, [0]),
    ]
    assert (first[1].first_offset, first[1].duplicates) == (1, [1])
    assert log.look_up([]) == []
    assert (ids(log), log.stats().duplicates) == (["a", "b"], 2)
    with pytest.raises(FencedError):
        old.look_up([])
    with pytest.raises(LogStoppedError):
        old.look_up([batch(5, "a")])


def test_each_id_is_stored_once(logs: Logs):
    log = logs.open()
    log.append([batch(1, "a", "b")])
    assert log.append([batch(2, "c", "a", "c"), batch(3, "c", "d")]) == [
        Appended(2, [1, 2], log.epoch),
        Appended(3, [0], log.epoch),
    ]
    again = logs.open()
    assert again.append([batch(4, "a", "b", "c", "d")])[0].duplicates == [0, 1, 2, 3]
    assert again.append([batch(5, "b", body="another")])[0].duplicates == [0]
    again.append([batch(6, "e")])
    assert ids(again) == ["a", "b", "c", "d", "e"]
    assert (again.stats().duplicates, again.stats().conflicting_duplicates) == (8, 1)
    # the counts are kept with the next frame
    assert logs.open().stats().duplicates == 8


def test_an_id_may_come_again_after_the_window(logs: Logs):
    log = logs.open(dedupe_window_s=60)
    log.append([batch(1, "a")])
    logs.now += 90_000
    assert log.append([batch(2, "a")])[0].duplicates == []
    assert ids(log) == ["a", "a"]


def test_a_retried_batch_gets_its_first_answer(logs: Logs):
    log = logs.open()
    log.append([batch(1, "a")])
    (first,) = log.append([batch(2, "x", "a", "y", "x")])
    assert (first.first_offset, first.duplicates) == (1, [1, 3])
    assert log.append([batch(2, "x", "a", "y", "x")]) == [first]
    (after_restart,) = logs.open().append([batch(2, "x", "a", "y", "x")])
    assert (after_restart.first_offset, after_restart.duplicates) == (1, [1, 3])


def test_a_newer_writer_fences_the_older_one(logs: Logs):
    old = logs.open()
    old.append([batch(1, "a")])
    new = logs.open()
    assert new.epoch > old.epoch
    with pytest.raises(FencedError, match="taken over"):
        old.append([batch(2, "b")])
    with pytest.raises(LogStoppedError):
        old.append([batch(2, "b")])
    assert new.append([batch(2, "b")]) == [Appended(1, [], new.epoch)]
    assert ids(logs.open()) == ["a", "b"]


def test_a_fenced_writer_cannot_even_confirm_duplicates(logs: Logs):
    old = logs.open()
    old.append([batch(1, "a")])
    logs.open()
    with pytest.raises(FencedError):
        old.append([batch(2, "a")])


def test_a_fenced_writer_cannot_trim(logs: Logs):
    old = logs.open()
    old.append([batch(1, "a")])
    logs.open()
    logs.now += 10_000_000
    with pytest.raises(FencedError):
        old.trim(1)


def test_retention_by_time_stops_at_the_floor(logs: Logs):
    log = logs.open()
    for number in range(1, 11):  # a frame every twenty minutes, retention is one hour
        log.append([batch(number, f"{number}-{i}" * 8) for i in range(1)])
        logs.now += 1_200_000
    # when a consumer has read four records only
    trimmed = log.trim(4)
    assert (log.first_offset, trimmed.first_offset) == (4, 4)
    assert trimmed.held_back_segments > 0
    assert [record.offset for record in records(log)] == [4, 5, 6, 7, 8, 9]
    # and once it has read everything, an hour stays
    trimmed = log.trim(10)
    assert trimmed.held_back_segments == 0
    assert 7 <= log.first_offset < 10
    assert trimmed.removed_bytes > 0
    # also for the next writer
    again = logs.open()
    assert again.first_offset == log.first_offset
    assert [record.offset for record in records(again)] == list(range(log.first_offset, 10))


def test_an_operator_may_trim_beyond_the_floor(logs: Logs):
    log = logs.open()
    log.append([batch(1, "a")])
    logs.now += 10_000_000
    log.append([batch(2, "b")])
    assert log.trim(0).first_offset == 0
    assert log.trim(0, force=True).first_offset == 1
    assert ids(log) == ["b"]


def test_retention_by_size(logs: Logs):
    log = logs.open(log_retention_bytes=20_000)
    for number in range(1, 101):
        log.append([batch(number, uuid.uuid4().hex, body=uuid.uuid4().hex * 20)])
    log.trim(log.end_offset)
    assert 10_000 < log.stats().bytes_on_disk <= 20_000
    assert [record.offset for record in records(log)] == list(range(log.first_offset, 100))


def test_a_trimmed_log_goes_on_where_it_was(logs: Logs):
    log = logs.open()
    log.append([batch(1, "a", "b")])
    logs.now += 100_000_000
    log = logs.open()  # in a file, the old records are in a segment of their own now, and the new one is empty
    log.trim(2)
    assert (log.first_offset, log.end_offset) == (2, 2)
    again = logs.open()
    assert (again.first_offset, again.end_offset) == (2, 2)
    assert again.append([batch(3, "c")])[0].first_offset == 2
    assert ids(logs.open()) == ["c"]


def test_positions_and_their_four_errors(logs: Logs):
    log = logs.open()
    for number in range(1, 11):
        log.append([batch(number, f"{number}", body="x" * 900)])
        logs.now += 600_000

    def resolve(text: str) -> int:
        return resolve_position(parse_position(text), log, logs.now)

    assert (resolve("trim-horizon"), resolve("latest"), resolve("offset:3"), resolve("after:3")) == (0, 10, 3, 4)
    assert (resolve("offset:10"), resolve("after:9")) == (10, 10)
    for number in range(10):
        assert log.offset_at_time(START + number * 600_000) == number
        assert log.offset_at_time(START + number * 600_000 - 1) == number
        assert log.offset_at_time(START + number * 600_000 + 1) == number + 1
    assert resolve("time:2001-01-01T00:00:00Z") == 0
    log.trim(10)
    first = log.first_offset
    assert first > 0
    assert resolve("time:2001-01-01T00:00:00Z") == first
    with pytest.raises(TrimmedPositionError, match=f"offsets {first} to 10 can be read") as gap:
        resolve(f"offset:{first - 1}")
    assert gap.value.first_offset == first
    with pytest.raises(BeyondEndError, match=f"offsets {first} to 10 can be read"):
        resolve("after:10")
    with pytest.raises(FutureTimeError, match="times up to now"):
        resolve("time:2099-01-01T00:00:00+02:00")
    with pytest.raises(TrimmedPositionError):
        log.read(first - 1, 1_000)


def test_append_times_never_step_back(logs: Logs):
    log = logs.open()
    log.append([batch(1, "a")])
    logs.now -= 5_000
    log.append([batch(2, "b")])
    log = logs.open()
    log.append([batch(3, "c")])
    assert [record.append_time for record in records(log)] == [START] * 3


def test_large_groups_are_split_into_frames(logs: Logs):
    log = logs.open(max_frame_bytes=600_000)
    batches = [batch(number, f"{number}", body="x" * 250_000) for number in range(1, 8)]
    assert [answer.first_offset for answer in log.append(batches)] == list(range(7))
    assert len(log.read(0, 10_000_000).frames) == 4
    assert len(records(log)) == 7


def test_readers_in_other_threads_see_whole_durable_records_only(logs: Logs):
    log = logs.open()
    done = threading.Event()
    failures: list[BaseException] = []
    seen: list[int] = []

    def follow() -> None:
        try:
            offset = 0
            while not (done.is_set() and offset == log.end_offset):
                fetched = log.read(offset, 3_000)
                for encoded in fetched.frames:
                    for record in frame.decode(encoded):
                        assert record.offset < fetched.end_offset
                        seen.append(record.offset)
                offset = fetched.next_offset
        except BaseException as error:
            failures.append(error)

    reader = threading.Thread(target=follow)
    reader.start()
    for number in range(1, 150):
        log.append([batch(number, f"{number}-a", f"{number}-b")])
    done.set()
    reader.join(60)
    assert failures == []
    assert seen == list(range(298))


def test_the_disk_high_water_mark_refuses_before_storing(tmp_path: Path):
    log = FileLog.open(tmp_path / "0", 0, SETTINGS.model_copy(update={"disk_high_water": 1e-9}))
    with pytest.raises(OverloadedError, match="high-water mark") as refused:
        log.append([batch(1, "a")])
    assert refused.value.retry_after_s >= 1
    assert log.end_offset == 0
