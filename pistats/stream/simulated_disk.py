"""A disk in memory that loses power, tears and reorders writes, fills up and fails a sync when told to. For tests.

What it forgets at a power loss is what a real disk may forget: writes that were not synced, in any order and torn at
sectors; file lengths that were not synced; names whose directory was not synced.
"""

import errno
import random
from dataclasses import dataclass, field
from pathlib import Path

SECTOR_BYTES = 512
"""What a disk writes as a whole."""


@dataclass(slots=True)
class _Inode:
    durable: bytearray = field(default_factory=bytearray)
    content: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes]] = field(default_factory=list)
    """Writes since the last sync, as (position, data)."""


class SimulatedDisk:
    """Implements `pistats.stream.disk.Disk` in memory."""

    def __init__(self, seed: int = 0) -> None:
        self.random = random.Random(seed)  # noqa: S311 - reproducible tears, no secret
        self.capacity_bytes: int | None = None
        self.fail_sync_in: int | None = None
        """1 fails the next file sync, 2 the one after it."""
        self.used: float | None = None
        self.syncs = 0
        self._names: dict[Path, _Inode] = {}
        self._durable_names: dict[Path, _Inode] = {}
        self._directories: set[Path] = set()

    # --- what a test does to it

    def lose_power(self) -> None:
        """Forget what was not durable: each un-synced write is kept, torn or lost on its own."""
        for inode in {id(inode): inode for inode in self._durable_names.values()}.values():
            self._tear(inode)
        self._names = dict(self._durable_names)

    def flip(self, path: Path, position: int, bit: int = 0) -> None:
        """Change one stored bit."""
        inode = self._names[path]
        inode.content[position] ^= 1 << bit
        inode.durable[:] = inode.content

    def cut(self, path: Path, length: int) -> None:
        """Shorten a stored file."""
        inode = self._names[path]
        del inode.content[length:]
        inode.durable[:] = inode.content

    def _tear(self, inode: _Inode) -> None:
        for position, data in inode.pending:
            outcome = self.random.choice(("lost", "kept", "torn"))
            for start in range(0, len(data), SECTOR_BYTES):
                if outcome == "kept" or (outcome == "torn" and self.random.random() < 0.5):
                    _overwrite(inode.durable, position + start, data[start : start + SECTOR_BYTES])
        inode.content[:] = inode.durable
        inode.pending.clear()

    # --- what a log asks of it

    def make_directory(self, directory: Path) -> None:
        self._directories.update((directory, *directory.parents))

    def names(self, directory: Path) -> list[str]:
        return [path.name for path in self._names if path.parent == directory]

    def size(self, path: Path) -> int:
        return len(self._inode(path).content)

    def create(self, path: Path, content: bytes) -> None:
        if path in self._names:
            raise FileExistsError(errno.EEXIST, "exists", str(path))
        self._check_room(len(content))
        self._names[path] = self._durable_names[path] = _Inode(bytearray(content), bytearray(content))

    def replace(self, path: Path, content: bytes) -> None:
        self._check_room(len(content))
        inode = _Inode(content=bytearray(content), pending=[(0, content)])
        self._names[path] = inode
        if self.random.random() < 0.5:  # the rename reached the disk, the content perhaps not
            self._durable_names[path] = inode

    def open(self, path: Path) -> "_SimulatedFile":
        return _SimulatedFile(self, self._inode(path))

    def read(self, path: Path, position: int, length: int) -> bytes:
        return bytes(self._inode(path).content[position : position + length])

    def remove(self, path: Path) -> None:
        self._names.pop(path, None)
        self._durable_names.pop(path, None)

    def used_share(self, directory: Path) -> float:  # noqa: ARG002
        if self.used is not None:
            return self.used
        return 0.0 if self.capacity_bytes is None else self._used_bytes() / self.capacity_bytes

    def _inode(self, path: Path) -> _Inode:
        try:
            return self._names[path]
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, "no such file", str(path)) from None

    def _used_bytes(self) -> int:
        return sum(len(inode.content) for inode in self._names.values())

    def _check_room(self, more: int) -> int:
        """How much of `more` fits; raises ENOSPC when nothing does."""
        if self.capacity_bytes is None:
            return more
        room = self.capacity_bytes - self._used_bytes()
        if room <= 0:
            raise OSError(errno.ENOSPC, "no space left")
        return min(more, room)


class _SimulatedFile:
    def __init__(self, disk: SimulatedDisk, inode: _Inode) -> None:
        self._disk = disk
        self._inode = inode

    def write(self, position: int, data: bytes) -> None:
        grown = max(0, position + len(data) - len(self._inode.content))
        fits = len(data) - (grown - self._disk._check_room(grown) if grown else 0)
        _overwrite(self._inode.content, position, data[:fits])
        self._inode.pending.append((position, data[:fits]))
        if fits < len(data):
            raise OSError(errno.ENOSPC, "no space left")

    def sync(self) -> None:
        self._disk.syncs += 1
        if self._disk.fail_sync_in is not None:
            self._disk.fail_sync_in -= 1
            if self._disk.fail_sync_in == 0:
                self._disk.fail_sync_in = None
                # As on Linux: the content stays readable, is marked clean, and a second sync would lie.
                content = bytes(self._inode.content)
                self._disk._tear(self._inode)
                self._inode.content[:] = content
                raise OSError(errno.EIO, "input/output error")
        self._inode.durable[:] = self._inode.content
        self._inode.pending.clear()

    def truncate(self, length: int) -> None:
        del self._inode.content[length:]
        self._inode.pending = [
            (position, data[: max(0, length - position)]) for position, data in self._inode.pending if position < length
        ]

    def close(self) -> None:
        pass


def _overwrite(target: bytearray, position: int, data: bytes) -> None:
    if len(target) < position:
        target.extend(bytes(position - len(target)))
    target[position : position + len(data)] = data
