"""Every way in which stored bytes may be wrong: what a crash explains is mended, everything else is loud."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pistats.errors import CorruptionError, OverloadedError
from pistats.settings import StreamSettings
from pistats.stream import admission
from pistats.stream.batch import Batch
from pistats.stream.file_log import FileLog
from pistats.stream.log import LogStoppedError
from pistats.stream.simulated_disk import SimulatedDisk
from pistats.stream.verify import VerifyReport, verify

Make = Callable[..., Batch]
DIRECTORY = Path("/partition")


class Setup:
    """A log on a simulated disk."""

    def __init__(self, settings: StreamSettings, make_batch: Make) -> None:
        self.settings, self.make_batch = settings, make_batch
        self.disk = SimulatedDisk()

    def open(self) -> FileLog:
        return FileLog.open(DIRECTORY, 0, self.settings, lambda: 1_790_000_000_000, self.disk)

    def fill(self, batches: int, *, close: bool = False) -> FileLog:
        log = self.open()
        for number in range(1, batches + 1):
            log.append([self.make_batch(number, f"{number}")])
        if close:
            log.close()
        return log

    def paths(self, suffix: str) -> list[Path]:
        return sorted(DIRECTORY / name for name in self.disk.names(DIRECTORY) if name.endswith(suffix))

    def verify(self) -> VerifyReport:
        return verify(DIRECTORY, self.disk)


@pytest.fixture
def setup(settings: StreamSettings, make_batch: Make) -> Setup:
    return Setup(settings, make_batch)


def test_the_last_frame_cut_at_every_byte(setup: Setup):
    log = setup.fill(3)
    (path,) = setup.paths(".log")
    content = setup.disk.read(path, 0, 1_000_000)
    last = len(content) - len(log.read(2, 1).frames[0])
    for length in range(last, len(content) + 1):
        again = Setup(setup.settings, setup.make_batch)
        again.fill(3)
        again.disk.cut(path, length)
        kept = 3 if length == len(content) else 2
        report = again.verify()
        assert report.is_sound
        assert (report.records, bool(report.notes)) == (kept, last < length < len(content))
        recovered = again.open()
        assert recovered.end_offset == kept
        assert recovered.append([again.make_batch(3, "3")])[0].first_offset == 2
        assert again.open().end_offset == 3


def test_a_frame_missing_after_a_clean_end_is_loud(setup: Setup):
    setup.fill(3, close=True)
    (path,) = setup.paths(".log")
    setup.disk.cut(path, setup.disk.size(path) - 1)
    with pytest.raises(CorruptionError, match="its index, written at a clean end"):
        setup.open()
    assert not setup.verify().is_sound


def test_a_flipped_bit_in_a_sealed_segment(setup: Setup):
    setup.fill(200, close=True)
    segment = setup.paths(".log")[1]
    setup.disk.flip(segment, 2_000)
    # the check names the place
    (problem,) = setup.verify().problems
    assert problem.where == segment.name
    assert "records from offset" in problem.what
    # the start relies on the index, and the walk without it finds the damage
    setup.disk.remove(segment.with_suffix(".index"))
    with pytest.raises(CorruptionError, match="Acknowledged records are damaged"):
        setup.open()


def test_a_flipped_bit_in_a_segment_header(setup: Setup):
    setup.fill(200)
    for position in range(96):
        setup.disk.flip(setup.paths(".log")[1], position)
        assert not setup.verify().is_sound
        with pytest.raises(CorruptionError):
            setup.open()
        setup.disk.flip(setup.paths(".log")[1], position)


def test_a_missing_segment_in_the_middle(setup: Setup):
    setup.fill(200)
    setup.disk.remove(setup.paths(".log")[1])
    assert "missing" in setup.verify().problems[0].what
    with pytest.raises(CorruptionError, match="is missing"):
        setup.open()


def test_a_segment_of_another_partition(setup: Setup):
    setup.fill(1)
    with pytest.raises(CorruptionError, match="copied here from elsewhere"):
        FileLog.open(DIRECTORY, 1, setup.settings, lambda: 0, setup.disk)


@pytest.mark.parametrize("damage", ["missing", "flipped header", "flipped hash", "cut", "stale"])
def test_a_wrong_index_is_made_again_and_reported(setup: Setup, damage: str):
    setup.fill(200, close=True)
    index, other = setup.paths(".index")[:2]
    if damage == "missing":
        setup.disk.remove(index)
    elif damage == "stale":
        setup.disk.replace(index, setup.disk.read(other, 0, 1_000_000))
    elif damage == "cut":
        setup.disk.cut(index, setup.disk.size(index) - 1)
    else:
        setup.disk.flip(index, 30 if damage == "flipped header" else setup.disk.size(index) - 3)
    log = setup.open()
    assert log.stats().indexes_rebuilt == 1
    assert log.append([setup.make_batch(500, "1", "200", "new")])[0].duplicates == [0, 1]
    assert setup.open().stats().indexes_rebuilt == 0


def test_every_flipped_bit_in_an_epoch_file(setup: Setup):
    setup.fill(1)
    (name,) = setup.disk.names(DIRECTORY / "epochs")
    path = DIRECTORY / "epochs" / name
    for position in range(setup.disk.size(path)):
        setup.disk.flip(path, position)
        assert not setup.verify().is_sound
        with pytest.raises(CorruptionError, match="does not hold the epoch"):
            setup.open()
        setup.disk.flip(path, position)
    assert setup.open().epoch == 2


def test_an_epoch_below_the_segments(setup: Setup):
    setup.fill(1)
    early = setup.disk.read(DIRECTORY / "epochs" / "0000000001", 0, 100)
    setup.open().append([setup.make_batch(2, "2")])
    setup.disk.remove(DIRECTORY / "epochs" / "0000000002")
    setup.disk.create(DIRECTORY / "epochs" / "0000000001", early)
    with pytest.raises(CorruptionError, match="epoch files are missing"):
        setup.open()


def test_colliding_hashes_lose_nothing(setup: Setup, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(admission.xxhash, "xxh3_64_intdigest", lambda key: 7)
    log = setup.fill(20)
    assert log.end_offset == 20
    log = setup.open()
    for number in range(1, 21):
        assert log.append([setup.make_batch(100 + number, f"{number}", f"new-{number}")])[0].duplicates == [0]
    assert log.end_offset == 40


def test_after_a_failed_sync_the_log_is_stopped(setup: Setup):
    log = setup.fill(2)
    setup.disk.fail_sync_in = 1
    with pytest.raises(LogStoppedError, match="has to be opened again"):
        log.append([setup.make_batch(3, "3")])
    syncs = setup.disk.syncs
    with pytest.raises(LogStoppedError, match="input/output error"):
        log.append([setup.make_batch(3, "3")])
    assert setup.disk.syncs == syncs, "a failed sync was tried again"
    # then the frame is in the page cache only, and the next start makes it durable before it serves it
    recovered = setup.open()
    end_offset = recovered.end_offset
    setup.disk.lose_power()
    assert setup.open().end_offset == end_offset


def test_a_full_disk_leaves_no_partial_frame(setup: Setup):
    log = setup.fill(2)
    (path,) = setup.paths(".log")
    size = setup.disk.size(path)
    for room in range(1, 150, 13):
        setup.disk.capacity_bytes = setup.disk._used_bytes() + room
        with pytest.raises(OverloadedError, match="nothing of this group was stored"):
            log.append([setup.make_batch(3, "3")])
        assert setup.disk.size(path) == size
    setup.disk.capacity_bytes = None
    assert log.append([setup.make_batch(3, "3")])[0].first_offset == 2
    assert setup.verify().is_sound


def test_a_sound_log_is_described(setup: Setup):
    setup.fill(200, close=True)
    report = setup.verify()
    assert (report.is_sound, report.notes) == (True, [])
    assert (report.partition, report.epoch, report.first_offset, report.end_offset) == (0, 1, 0, 200)
    assert report.records == report.frames == 200
    assert report.segments > 5


def test_a_crash_loop_leaves_no_files_behind(setup: Setup):
    for _ in range(10):
        setup.open()
    assert len(setup.disk.names(DIRECTORY)) == 1
    assert len(setup.disk.names(DIRECTORY / "epochs")) == 1
