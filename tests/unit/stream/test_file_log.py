"""A log on a real disk: appends, reads, starts again, cuts torn tails, refuses damage."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pistats.errors import CorruptionError, FencedError, OverloadedError
from pistats.settings import StreamSettings
from pistats.stream import frame
from pistats.stream.batch import Appended, Batch, Record
from pistats.stream.file_log import FileLog
from pistats.stream.position import BeyondEndError

Make = Callable[..., Batch]


def records(log: FileLog, offset: int = 0, max_bytes: int = 1_000_000) -> list[Record]:
    found: list[Record] = []
    while offset < log.end_offset:
        fetched = log.read(offset, max_bytes)
        found += [record for encoded in fetched.frames for record in frame.decode(encoded) if record.offset >= offset]
        offset = fetched.next_offset
    return found


def ids(log: FileLog) -> list[str]:
    return [record.key.decode().split("\x1f")[1] for record in records(log)]


def test_offsets_are_dense_across_segments_and_starts(directory: Path, settings: StreamSettings, make_batch: Make):
    # given several segments' worth of batches over two starts
    expected: list[str] = []
    for start in range(2):
        log = FileLog.open(directory, 0, settings)
        for number in range(100):
            names = [f"{start}-{number}-{i}" for i in range(3)]
            assert log.append([make_batch(1 + start * 100 + number, *names)]) == [
                Appended(len(expected), [], log.epoch)
            ]
            expected += names
        log.close()
    # then every record is there once, in order, however it is read
    log = FileLog.open(directory, 0, settings)
    assert log.stats().segments > 3
    assert ids(log) == expected
    assert [record.offset for record in records(log, 0, max_bytes=1)] == list(range(len(expected)))
    assert [record.offset for record in records(log, 250)] == list(range(250, len(expected)))


def test_one_group_is_one_frame(directory: Path, settings: StreamSettings, make_batch: Make):
    log = FileLog.open(directory, 0, settings)
    answers = log.append([make_batch(1, "a"), make_batch(2, "b", "c"), make_batch(3, "d")])
    assert [answer.first_offset for answer in answers] == [0, 1, 3]
    assert len(log.read(0, 1_000_000).frames) == 1


def test_duplicates_are_stored_once(directory: Path, settings: StreamSettings, make_batch: Make):
    log = FileLog.open(directory, 0, settings)
    log.append([make_batch(1, "a", "b")])
    # in a later batch, within one batch, and in two batches of one group
    assert log.append([make_batch(2, "c", "a", "c")]) == [Appended(2, [1, 2], 1)]
    assert log.append([make_batch(3, "d"), make_batch(4, "d", "e")]) == [Appended(3, [], 1), Appended(4, [0], 1)]
    assert log.append([make_batch(5, "a", "e")]) == [Appended(5, [0, 1], 1)]
    assert ids(log) == ["a", "b", "c", "d", "e"]
    assert (log.stats().duplicates, log.stats().conflicting_duplicates) == (5, 0)


def test_another_body_under_the_same_id_is_counted(directory: Path, settings: StreamSettings, make_batch: Make):
    log = FileLog.open(directory, 0, settings)
    log.append([make_batch(1, "a", body="first")])
    assert log.append([make_batch(2, "a", body="second")]) == [Appended(1, [0], 1)]
    assert log.append([make_batch(3, "a", body="first")]) == [Appended(1, [0], 1)]  # received at another time
    assert (log.stats().duplicates, log.stats().conflicting_duplicates) == (2, 1)


def test_a_retried_batch_is_answered_as_accepted(directory: Path, settings: StreamSettings, make_batch: Make):
    log = FileLog.open(directory, 0, settings)
    log.append([make_batch(1, "a")])
    first = log.append([make_batch(2, "a", "b", "c", "b"), make_batch(3, "d")])
    assert first == [Appended(1, [0, 3], 1), Appended(3, [], 1)]
    assert log.append([make_batch(3, "d"), make_batch(2, "a", "b", "c", "b")]) == [first[1], first[0]]
    # and so after a restart
    again = FileLog.open(directory, 0, settings)
    retried = again.append([make_batch(2, "a", "b", "c", "b"), make_batch(3, "d"), make_batch(4, "e")])
    assert [(answer.first_offset, answer.duplicates) for answer in retried] == [(1, [0, 3]), (3, []), (4, [])]
    assert ids(again) == ["a", "b", "c", "d", "e"]


def test_above_the_high_water_mark_what_is_stored_is_still_confirmed(
    directory: Path, settings: StreamSettings, make_batch: Make
):
    # given stored batches and a disk that is too full for more
    FileLog.open(directory, 0, settings).append([make_batch(1, "a", "b")])
    full = FileLog.open(directory, 0, settings.model_copy(update={"disk_high_water": 1e-9}))
    # then a retry of one, and a duplicate, get their answers: a refusal would deny what is durable
    assert full.append([make_batch(1, "a", "b")])[0].duplicates == []
    assert full.append([make_batch(2, "b")])[0].duplicates == [0]
    # and what is new is refused
    with pytest.raises(OverloadedError, match="high-water mark"):
        full.append([make_batch(3, "a", "c")])
    assert ids(full) == ["a", "b"]


def test_the_same_batch_twice_in_one_group(directory: Path, settings: StreamSettings, make_batch: Make):
    log = FileLog.open(directory, 0, settings)
    assert log.append([make_batch(1, "a"), make_batch(1, "a")]) == [Appended(0, [], 1), Appended(0, [], 1)]
    assert ids(log) == ["a"]


def test_duplicates_are_known_after_a_restart(directory: Path, settings: StreamSettings, make_batch: Make):
    log = FileLog.open(directory, 0, settings)
    for number in range(1, 60):
        log.append([make_batch(number, f"{number}-a", f"{number}-b")])
    log.append([make_batch(60, "1-a")])
    log.append([make_batch(61, "last")])
    log = FileLog.open(directory, 0, settings)  # the first one was not closed
    assert log.stats().duplicates == 1
    for number in range(1, 60):
        assert log.append([make_batch(100 + number, f"{number}-a", f"{number}-b")])[0].duplicates == [0, 1]
    assert log.end_offset == 119


def test_a_tail_torn_at_any_byte_is_cut(directory: Path, settings: StreamSettings, make_batch: Make):
    # given two frames
    log = FileLog.open(directory, 0, settings)
    log.append([make_batch(1, "a")])
    path = next(directory.glob("*.log"))
    intact = path.stat().st_size
    log.append([make_batch(2, "b")])
    content = path.read_bytes()
    # when the second one is cut at any byte, and the rest is gone or zeros
    for length in range(intact, len(content.rstrip(bytes(1))), 7):
        for rest in (b"", bytes(len(content) - length)):
            for name in [*directory.glob("*.log"), *directory.glob("*.index")]:
                name.unlink()
            path.write_bytes(content[:length] + rest)
            # then the first stays, and the log goes on behind it
            recovered = FileLog.open(directory, 0, settings)
            assert ids(recovered) == ["a"]
            assert recovered.append([make_batch(2, "b")])[0].first_offset == 1
            assert ids(recovered) == ["a", "b"]
            recovered._file.close()


def test_damage_in_the_middle_stops_loudly(directory: Path, settings: StreamSettings, make_batch: Make):
    log = FileLog.open(directory, 0, settings)
    log.append([make_batch(1, "a")])
    path = next(directory.glob("*.log"))
    middle = path.stat().st_size - 20
    log.append([make_batch(2, "b")])
    content = bytearray(path.read_bytes())
    content[middle] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorruptionError, match="a valid frame follows"):
        FileLog.open(directory, 0, settings)


def test_an_older_writer_is_refused(directory: Path, settings: StreamSettings, make_batch: Make):
    old = FileLog.open(directory, 0, settings)
    old.append([make_batch(1, "a")])
    new = FileLog.open(directory, 0, settings)
    with pytest.raises(FencedError, match="taken over"):
        old.append([make_batch(2, "b")])
    assert new.append([make_batch(2, "b")]) == [Appended(1, [], 2)]
    assert ids(new) == ["a", "b"]
    assert ids(FileLog.open(directory, 0, settings)) == ["a", "b"]


def test_reading_beyond_the_end_names_the_range(directory: Path, settings: StreamSettings, make_batch: Make):
    log = FileLog.open(directory, 0, settings)
    log.append([make_batch(1, "a")])
    assert log.read(1, 1_000).frames == []
    with pytest.raises(BeyondEndError, match="offsets 0 to 1 can be read"):
        log.read(2, 1_000)
