"""Whatever a disk may do to it: acknowledged records stay, in order, once, and nothing appears that nobody sent.

The machine drives a log over a simulated disk that tears and reorders un-synced writes, fails syncs, fills up and loses
power, while older writers wake up. A failure prints the steps and the seed that lead to it.
"""

from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pistats.errors import FencedError, OverloadedError, UnavailableError
from pistats.settings import StreamSettings
from pistats.stream import frame
from pistats.stream.admission import BATCH_MEMORY_MS
from pistats.stream.batch import Appended, Batch
from pistats.stream.file_log import FileLog
from pistats.stream.log import LogStoppedError
from pistats.stream.simulated_disk import SimulatedDisk
from pistats.stream.verify import verify

DIRECTORY = Path("/partition")
SETTINGS = StreamSettings(
    segment_bytes=4_096, max_frame_bytes=600_000, log_retention_s=7_200, dedupe_window_s=86_400, disk_high_water=1.0
)
MARGIN_MS = 1_000
"""The clock of this test steps back now and then, and times of appends don't."""
event_ids = st.integers(0, 60)
groups = st.lists(st.lists(event_ids, min_size=1, max_size=6), min_size=1, max_size=4)


class LogMachine(RuleBasedStateMachine):
    @initialize(seed=st.integers(0, 2**32))
    def start(self, seed: int) -> None:
        self.disk = SimulatedDisk(seed)
        self.now = 1_790_000_000_000
        self.batches = 0
        self.acknowledged: dict[int, bytes] = {}
        """Offset → key, of what this test holds an answer for."""
        self.sent: set[bytes] = set()
        self.old: list[FileLog] = []
        self.doubtful: list[list[Batch]] = []
        self.tried: dict[bytes, int] = {}
        """Batch id → when it was first sent."""
        self.highest_epoch = 0
        self.log: FileLog | None = None
        self.open()

    def open(self) -> None:
        try:
            self.log = FileLog.open(DIRECTORY, 0, SETTINGS, lambda: self.now, self.disk)
        except UnavailableError:
            assert self.disk.capacity_bytes is not None
            self.log = None
            return
        assert self.log.epoch > self.highest_epoch
        self.highest_epoch = self.log.epoch
        self.check_everything(self.log)

    # --- what callers do

    @rule(group=groups)
    def append(self, group: list[list[int]]) -> None:
        batches = []
        for numbers in group:
            self.batches += 1
            keys = [b"s\x1f%d" % number for number in numbers]
            payloads = [b'{"event_id":"%d","padding":"%s"}' % (number, b"x" * 7 * number) for number in numbers]
            batches.append(Batch(self.batches.to_bytes(16), keys, payloads))
            self.sent.update(keys)
            self.tried[batches[-1].batch_id] = self.now
        self.try_append(batches)

    @precondition(lambda self: self.doubtful)
    @rule()
    def retry(self) -> None:
        self.try_append(self.doubtful.pop())

    def try_append(self, batches: list[Batch]) -> None:
        if self.log is None:
            self.open()
        if self.log is None:
            return
        try:
            answers = self.log.append(batches)
        except OverloadedError:
            self.doubtful.append(batches)
        except LogStoppedError:
            self.doubtful.append(batches)
            self.open()
        else:
            for batch, answer in zip(batches, answers, strict=True):
                self.note(batch, answer)
            self.ask_again(self.log, batches, answers)

    def ask_again(self, log: FileLog, batches: list[Batch], answers: list[Appended]) -> None:
        """The same batches get the same answers, and nothing is written: neither a full nor a bad disk matters.

        A batch that is older than the memory of batches may be forgotten in between: then its events are known.
        """
        end_offset, syncs = log.end_offset, self.disk.syncs
        for batch, answer, again in zip(batches, answers, log.append(batches), strict=True):
            forgotten = self.now - self.tried[batch.batch_id] > BATCH_MEMORY_MS - MARGIN_MS
            assert again == answer or (forgotten and len(again.duplicates) == len(batch.keys))
        assert (log.end_offset, self.disk.syncs) == (end_offset, syncs)

    def note(self, batch: Batch, answer: Appended) -> None:
        offset = answer.first_offset
        for index, key in enumerate(batch.keys):
            if index not in answer.duplicates:
                assert self.acknowledged.get(offset, key) == key
                self.acknowledged[offset] = key
                offset += 1

    # --- what happens to it

    @rule(minutes=st.integers(0, 20))
    def time_passes(self, minutes: int) -> None:
        self.now += minutes * 60_000 - 5  # now and then a step back

    @rule(syncs=st.integers(1, 3))
    def a_sync_will_fail(self, syncs: int) -> None:
        self.disk.fail_sync_in = syncs

    @rule(room=st.integers(0, 3_000))
    def the_disk_fills(self, room: int) -> None:
        self.disk.capacity_bytes = self.disk._used_bytes() + room

    @rule()
    def the_disk_is_freed(self) -> None:
        self.disk.capacity_bytes = None

    @rule()
    def power_is_lost(self) -> None:
        self.disk.capacity_bytes = self.disk.fail_sync_in = None
        self.old.clear()
        self.disk.lose_power()
        self.open()

    @rule(cleanly=st.booleans())
    def restart(self, cleanly: bool) -> None:
        self.disk.fail_sync_in = None
        if cleanly and self.log is not None:
            self.log.close()
        self.open()

    @precondition(lambda self: self.log is not None and len(self.old) < 3)
    @rule()
    def another_writer_takes_over(self) -> None:
        assert self.log is not None
        self.disk.fail_sync_in = self.disk.capacity_bytes = None
        self.old.append(self.log)
        self.open()

    @precondition(lambda self: self.old)
    @rule(number=event_ids)
    def an_old_writer_wakes(self, number: int) -> None:
        key = b"s\x1fold-%d" % number
        self.batches += 1
        self.sent.add(key)
        with pytest.raises((FencedError, LogStoppedError, OverloadedError)):
            self.old[-1].append([Batch(self.batches.to_bytes(16), [key], [b"old"])])
        self.old.pop()

    @rule(behind=st.integers(0, 30), force=st.booleans())
    def trim(self, behind: int, force: bool) -> None:
        if self.log is None:
            return
        floor = max(0, self.log.end_offset - behind)
        try:
            trimmed = self.log.trim(floor, force=force)
        except LogStoppedError:
            self.open()
            return
        assert force or trimmed.removed_segments == 0 or trimmed.first_offset <= floor
        self.acknowledged = {o: key for o, key in self.acknowledged.items() if o >= trimmed.first_offset}

    # --- what holds

    @invariant()
    def all_is_there(self) -> None:
        if getattr(self, "log", None) is not None and self.log._stopped is None:
            self.check_everything(self.log)

    def check_everything(self, log: FileLog) -> None:
        keys: dict[int, bytes] = {}
        offset = log.first_offset
        times = []
        while offset < log.end_offset:
            fetched = log.read(offset, 1_000)
            for encoded in fetched.frames:
                for record in frame.decode(encoded):
                    assert record.offset == log.first_offset + len(keys)
                    keys[record.offset] = record.key
                    times.append(record.append_time)
            offset = fetched.next_offset
        assert len(set(keys.values())) == len(keys), "an id is stored twice"
        assert set(keys.values()) <= self.sent, "a record that nobody sent"
        assert times == sorted(times)
        for offset, key in self.acknowledged.items():
            if offset >= log.first_offset:  # a trim that a power loss interrupted may have gone further
                assert keys.get(offset) == key, "an acknowledged record is missing"

    def teardown(self) -> None:
        if hasattr(self, "disk") and self.disk.fail_sync_in is None and self.disk.capacity_bytes is None:
            self.open()
            assert verify(DIRECTORY, self.disk).problems == []


LogMachine.TestCase.settings = hypothesis_settings(
    max_examples=120, stateful_step_count=40, deadline=None, print_blob=True
)
test_log_machine = LogMachine.TestCase
