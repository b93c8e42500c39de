"""The log against real trouble: killed at each step, paused and overtaken, failing and full disks, lost power."""

import ctypes
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from pistats.errors import CorruptionError, OverloadedError
from pistats.settings import StreamSettings
from pistats.stream import frame
from pistats.stream.batch import Batch
from pistats.stream.file_log import FileLog
from pistats.stream.log import StreamLog
from pistats.stream.mongo_log import MongoLog
from pistats.stream.verify import verify

pytestmark = pytest.mark.faults

SETTINGS = StreamSettings(disk_high_water=1.0)
EXT4_SHUTDOWN = 0x8004587D
"""FS_IOC_SHUTDOWN; with argument 2 the journal is not flushed, as if the power had gone."""

WRITER = """
    import os, signal, sys
    from pathlib import Path
    from pistats.settings import StreamSettings
    from pistats.stream import file_log
    from pistats.stream.batch import Batch
    from pistats.stream.disk import RealDisk

    def batch(number):
        return Batch(number.to_bytes(16), [b"s\\x1f%d" % number], [b'{"event_id":"%d"}' % number])

    directory, step, kill_at = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    settings = StreamSettings(disk_high_water=1.0)
    if sys.argv[4:]:
        from pymongo import MongoClient
        from pistats.stream.mongo_log import MongoLog
        log = MongoLog.open(MongoClient(sys.argv[4]), sys.argv[5], 0, settings)
    else:
        log = file_log.FileLog.open(directory, 0, settings)
    print("open", flush=True)

    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    def before(name):
        original = getattr(log._file, name)
        def wrapped(*arguments):
            die()
        class Dying:
            def __getattr__(self, other):
                return wrapped if other == name else getattr(file, other)
        file = log._file
        log._file = Dying()

    for line in sys.stdin:
        number = int(line)
        if number == kill_at and step == "before write":
            before("write")
        if number == kill_at and step == "after write":
            before("sync")
        if number == kill_at and step == "after sync":
            log._check_epoch = die
        answer = log.append([batch(number)])[0]
        if number == kill_at and step == "before reply":
            die()
        print(number, answer.first_offset, flush=True)
"""


class Writer:
    """A log in a process of its own."""

    def __init__(self, *arguments: str, prefix: tuple[str, ...] = ()) -> None:
        command = [*prefix, sys.executable, "-c", textwrap.dedent(WRITER), *arguments]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "open\n", self.process.communicate()[1]

    def send(self, number: int) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{number}\n")
        self.process.stdin.flush()

    def append(self, number: int) -> bool:
        """Whether the batch was acknowledged."""
        self.send(number)
        assert self.process.stdout is not None
        return self.process.stdout.readline().startswith(f"{number} ")

    def end(self) -> str:
        """What it said last."""
        return self.process.communicate(timeout=30)[1]


@pytest.fixture
def writers() -> Iterator[list[Writer]]:
    started: list[Writer] = []
    yield started
    for writer in started:
        if writer.process.poll() is None:
            writer.process.kill()
            writer.process.wait()


def batch(number: int) -> Batch:
    return Batch(number.to_bytes(16), [b"s\x1f%d" % number], [b'{"event_id":"%d"}' % number])


def ids(log: StreamLog) -> list[int]:
    found: list[int] = []
    offset = log.first_offset
    while offset < log.end_offset:
        fetched = log.read(offset, 1_000_000)
        found += [int(record.key[2:]) for encoded in fetched.frames for record in frame.decode(encoded)]
        offset = fetched.next_offset
    return found


@pytest.mark.parametrize("step", ["before write", "after write", "after sync", "before reply"])
def test_killed_at_each_step_a_retry_leaves_one_copy_in_order(tmp_path: Path, writers: list[Writer], step: str):
    # given a writer that dies at the third batch
    writer = Writer(str(tmp_path / "0"), step, "3")
    writers.append(writer)
    assert [writer.append(number) for number in (1, 2, 3)] == [True, True, False]
    assert writer.process.wait(10) == -signal.SIGKILL
    # when the caller retries it at the next writer
    log = FileLog.open(tmp_path / "0", 0, SETTINGS)
    answers = log.append([batch(3)]) + log.append([batch(4)])
    # then it is there once, accepted, and in order
    assert [(answer.first_offset, answer.duplicates) for answer in answers] == [(2, []), (3, [])]
    assert ids(log) == [1, 2, 3, 4]
    log.close()
    assert verify(tmp_path / "0").is_sound


@pytest.mark.parametrize("kind", ["file", "mongo"])
def test_a_paused_writer_that_wakes_is_refused(
    tmp_path: Path, writers: list[Writer], kind: str, request: pytest.FixtureRequest
):
    arguments = [str(tmp_path / "0"), "never", "0"]
    if kind == "mongo":
        arguments += [request.getfixturevalue("mongo_uri"), f"test_{uuid.uuid4().hex[:12]}"]
    # given a writer that is paused with an append on its way
    old = Writer(*arguments)
    writers.append(old)
    assert old.append(1)
    old.process.send_signal(signal.SIGSTOP)
    old.send(2)
    # when another one takes over, and the first one goes on
    new = Writer(*arguments)
    writers.append(new)
    assert new.append(3)
    old.process.send_signal(signal.SIGCONT)
    # then the old one's append is refused
    assert "FencedError" in old.end()
    assert new.append(2)
    assert new.append(4)
    new.process.kill()
    new.process.wait()
    if kind == "file":
        assert ids(FileLog.open(tmp_path / "0", 0, SETTINGS)) == [1, 3, 2, 4]
        assert verify(tmp_path / "0").is_sound
    else:
        drop_database(arguments[3], arguments[4])


@pytest.mark.parametrize(
    "failure",
    [
        {"mode": {"times": 3}, "data": {"closeConnection": True}},
        {"mode": {"times": 2}, "data": {"errorCode": 11600, "closeConnection": False}},
        {"mode": {"times": 1}, "data": {"writeConcernError": {"code": 64, "errmsg": "not confirmed in time"}}},
    ],
    ids=["connection lost", "server stepping down", "stored but not confirmed"],
)
def test_an_insert_with_an_unclear_outcome_is_settled(mongo_uri: str, failure: dict[str, Any]):
    # given a MongoDB that fails our inserts, and ours only
    name = f"stream-{uuid.uuid4().hex[:12]}"
    client: MongoClient[dict[str, Any]] = MongoClient(mongo_uri, appname=name)
    log = MongoLog.open(client, name, 0, SETTINGS)
    log.append([batch(1)])
    data = {"failCommands": ["insert"], "appName": name, **failure["data"]}
    client.admin.command("configureFailPoint", "failCommand", mode=failure["mode"], data=data)
    # then the batch is stored once, and the next ones go on behind it
    try:
        assert [log.append([batch(number)])[0].first_offset for number in (2, 3)] == [1, 2]
    finally:
        client.admin.command("configureFailPoint", "failCommand", mode="off")
    assert ids(log) == [1, 2, 3]
    assert ids(MongoLog.open(client, name, 0, SETTINGS)) == [1, 2, 3]
    client.drop_database(name)
    client.close()


def drop_database(uri: str, name: str) -> None:
    client: MongoClient[dict[str, Any]] = MongoClient(uri)
    client.drop_database(name)
    client.close()


@pytest.fixture
def strace() -> None:
    """A strace that may trace. Missing: skipped on a developer's machine, a failure in CI."""
    if shutil.which("strace") is None:
        reason = "No strace on this machine: install the package `strace`"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    tried = subprocess.run(["strace", "-e", "inject=getppid:error=EIO", "true"], capture_output=True, check=False)
    if tried.returncode != 0:
        pytest.skip("this machine gives no right to trace")


@pytest.mark.usefixtures("strace")
@pytest.mark.parametrize("failing", [2, 4])
def test_after_a_failed_sync_nothing_is_acknowledged(tmp_path: Path, writers: list[Writer], failing: int):
    # given a disk whose n-th fdatasync fails with EIO
    prefix = ("strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync")
    inject = ("-e", f"inject=fdatasync:error=EIO:when={failing}")
    writer = Writer(str(tmp_path / "0"), "never", "0", prefix=(*prefix, *inject))
    writers.append(writer)
    acknowledged = []
    for number in range(1, 10):
        if not writer.append(number):
            break
        acknowledged.append(number)
    # then the append is not acknowledged, and the writer is done
    assert acknowledged == list(range(1, failing))
    assert "LogStoppedError" in writer.end()
    # and after the restart nothing acknowledged is missing, and the retry is there once
    log = FileLog.open(tmp_path / "0", 0, SETTINGS)
    assert ids(log)[: len(acknowledged)] == acknowledged
    log.append([batch(failing)])
    assert ids(log) == [*acknowledged, failing]


@pytest.fixture
def ext4(tmp_path: Path) -> Iterator[Path]:
    """A 32 MB ext4 file system of its own."""
    if os.geteuid() != 0 or shutil.which("mkfs.ext4") is None:
        pytest.skip("needs root and mkfs.ext4 for a loop device")
    image, mounted = tmp_path / "image", tmp_path / "mounted"
    with image.open("wb") as file:
        file.truncate(32 * 1024 * 1024)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    mounted.mkdir()
    if not mount(image, mounted):
        pytest.skip("this machine gives no loop device")
    yield mounted
    subprocess.run(["umount", "-l", str(mounted)], check=False)


def mount(image: Path, mounted: Path) -> bool:
    tried = subprocess.run(["mount", "-o", "loop", str(image), str(mounted)], capture_output=True, check=False)
    return tried.returncode == 0


def test_a_full_disk_is_refused_and_heals_by_itself(ext4: Path):
    directory = ext4 / "0"
    log = FileLog.open(directory, 0, SETTINGS)
    ballast = ext4 / "ballast"
    acknowledged = [number for number in range(1, 50) if log.append([batch(number)])]
    with pytest.raises(OSError, match="No space left"):
        ballast.write_bytes(bytes(64 * 1024 * 1024))
    # when the disk is full
    refused = 0
    for number in range(50, 2_000):
        try:
            log.append([batch(number)])
            acknowledged.append(number)
        except OverloadedError:
            refused = number
            break
    assert refused
    size = (directory / log._active.name).stat().st_size
    assert size == log._active.length, "a partial frame was left"
    # then appends go on as soon as there is space, without a restart
    ballast.unlink()
    log.append([batch(refused)])
    acknowledged.append(refused)
    assert ids(log) == acknowledged
    log.close()
    assert ids(FileLog.open(directory, 0, SETTINGS)) == acknowledged


def test_what_was_acknowledged_survives_a_power_loss(ext4: Path):
    image = ext4.parent / "image"
    acknowledged: list[int] = []
    for crash in range(4):
        log = FileLog.open(ext4 / "0", 0, SETTINGS)
        assert ids(log)[: len(acknowledged)] == acknowledged
        acknowledged = ids(log)
        for number in range(crash * 1_000 + 1, crash * 1_000 + 200):
            log.append([batch(number)])
            acknowledged.append(number)
        # when the power goes while a frame is half on its way
        log._file.write(log._active.length, os.urandom(3_000))
        fd = os.open(ext4, os.O_RDONLY)
        fcntl.ioctl(fd, EXT4_SHUTDOWN, ctypes.c_uint32(2))
        os.close(fd)
        log._file.close()
        subprocess.run(["umount", str(ext4)], check=True)
        assert mount(image, ext4)
    log = FileLog.open(ext4 / "0", 0, SETTINGS)
    assert ids(log) == acknowledged
    assert verify(ext4 / "0").is_sound
    log.close()


def test_a_killed_writer_under_load_loses_nothing(tmp_path: Path, writers: list[Writer]):
    acknowledged: list[int] = []
    for crash in range(5):
        writer = Writer(str(tmp_path / "0"), "never", "0")
        writers.append(writer)
        deadline = time.monotonic() + 0.2
        number = crash * 100_000 + 1
        while time.monotonic() < deadline:
            if writer.append(number):
                acknowledged.append(number)
            number += 1
        writer.send(number)
        writer.process.kill()
        writer.process.wait()
        log = FileLog.open(tmp_path / "0", 0, SETTINGS)
        stored = ids(log)
        assert [one for one in stored if one in set(acknowledged)] == acknowledged
        assert len(set(stored)) == len(stored)
    assert len(acknowledged) > 100


def test_a_flipped_bit_anywhere_but_the_last_frame_is_loud(tmp_path: Path):
    # given a log of three frames that was not closed
    source = tmp_path / "source"
    log = FileLog.open(source, 0, SETTINGS)
    for number in range(1, 4):
        log.append([batch(number)])
    last_frame = log._active.length - len(log.read(2, 1).frames[0])
    (path,) = source.glob("*.log")
    content = path.read_bytes()
    # when one bit anywhere before the last frame flips
    for position in range(0, last_frame, 5):
        damaged = bytearray(content)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        # then neither the check nor the start lets it pass
        assert not verify(source).is_sound, position
        with pytest.raises(CorruptionError):
            FileLog.open(source, 0, SETTINGS)
