"""Epochs: each writer of a partition claims a number of its own, and one that sees a higher number has been fenced.

A claim is a file `epochs/<number>` that is made atomically and never changed, so two writers cannot hold one number and
a paused writer sees its successor as soon as it runs again.
"""

import os
import struct
import zlib
from pathlib import Path

from pistats.errors import CorruptionError, FencedError
from pistats.stream.disk import TEMPORARY, Disk

_CLAIM = struct.Struct("<8sQqI")
_CRC = struct.Struct("<I")
_MAGIC = b"piSEPOCH"
DIRECTORY = "epochs"


class EpochClaim:
    """One writer's hold on a partition."""

    def __init__(self, disk: Disk, directory: Path, epoch: int) -> None:
        self._disk = disk
        self._directory = directory
        self._own = claim_name(epoch)
        self.epoch = epoch

    def check(self) -> None:
        """Returns while this claim is the highest. Raises FencedError once a newer writer has claimed the partition."""
        names = self._disk.names(self._directory)
        highest = max((name for name in names if TEMPORARY not in name), default="")
        if highest != self._own:
            raise FencedError(
                f"epoch {self.epoch} of {self._directory.parent} has been taken over by {highest or 'nobody known'}: "
                "this writer stops; ask the new one"
            )


def claim_name(epoch: int) -> str:
    """File name of a claim: sorts as the number does."""
    return f"{epoch:010d}"


def claim_epoch(disk: Disk, partition_directory: Path, *, at_least: int, now: int) -> EpochClaim:
    """Claim the next epoch, durably; from the return on, every older writer is fenced.

    Raises CorruptionError when the epoch files do not match what the segments say (`at_least` is their highest epoch).
    Two writers that claim at once get different numbers, the lower of them is fenced at once.
    """
    directory = partition_directory / DIRECTORY
    disk.make_directory(directory)
    while True:
        last = last_epoch(disk, partition_directory, at_least=at_least)
        path = directory / claim_name(last + 1)
        try:
            disk.create(path, _encode(last + 1, now))
        except FileExistsError:
            continue
        _forget_older(disk, directory, last + 1)
        return EpochClaim(disk, directory, last + 1)


def last_epoch(disk: Disk, partition_directory: Path, *, at_least: int) -> int:
    """The highest epoch ever claimed, 0 for a new partition. Raises CorruptionError when the files cannot be right."""
    directory = partition_directory / DIRECTORY
    names = sorted(name for name in disk.names(directory) if TEMPORARY not in name)
    for name in names:
        try:
            content = disk.read(directory / name, 0, _CLAIM.size + _CRC.size)
        except FileNotFoundError:  # a writer that claimed a higher epoch has just removed it
            continue
        if not _is_claim(content, name):
            raise CorruptionError(
                f"{directory / name} does not hold the epoch that its name says. Make sure that no other process "
                f"writes this partition, then remove {directory}: the next start takes the number from the segments"
            )
    last = int(names[-1]) if names else at_least
    if last < at_least:
        raise CorruptionError(
            f"{directory} ends at epoch {last} while a segment of epoch {at_least} exists: epoch files are missing. "
            f"Restore the directory as it was; a writer of epoch {at_least} may still be running"
        )
    return last


def _encode(epoch: int, now: int) -> bytes:
    body = _CLAIM.pack(_MAGIC, epoch, now, os.getpid() & 0xFFFFFFFF)
    return body + _CRC.pack(zlib.crc32(body))


def _is_claim(content: bytes, name: str) -> bool:
    if len(content) != _CLAIM.size + _CRC.size or not name.isdigit():
        return False
    body, (crc,) = content[: _CLAIM.size], _CRC.unpack_from(content, _CLAIM.size)
    magic, epoch, _, _ = _CLAIM.unpack(body)
    return bool((magic, epoch, crc) == (_MAGIC, int(name), zlib.crc32(body)))


def _forget_older(disk: Disk, directory: Path, epoch: int) -> None:
    for name in disk.names(directory):
        if TEMPORARY not in name and name < claim_name(epoch):
            disk.remove(directory / name)
