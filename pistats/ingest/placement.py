"""Where a request's records end up: each is stored once, however the layout changes while they are on their way."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from pistats.errors import PistatsError
from pistats.ingest.batcher import MicroBatcher, MovedError, size_bytes
from pistats.ingest.routes import Route, Router

Outcome = Sequence[int] | BaseException
"""Of a submission: the indexes of duplicates, or why it failed."""


@dataclass(slots=True)
class Share:
    """What one partition gets of a request."""

    keys: list[bytes] = field(default_factory=list)
    payloads: list[bytes] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    """Of each event in `Parsed.events`."""

    def part(self, indexes: Iterable[int]) -> "Share":
        """Some of its records."""
        part = Share()
        for index in indexes:
            part.add(self, index)
        return part

    def add(self, other: "Share", index: int) -> None:
        """Take in one record of another share."""
        self.keys.append(other.keys[index])
        self.payloads.append(other.payloads[index])
        self.positions.append(other.positions[index])


def joined(shares: Iterable[Share]) -> Share:
    """All records of some shares."""
    whole = Share()
    for share in shares:
        whole.keys += share.keys
        whole.payloads += share.payloads
        whole.positions += share.positions
    return whole


class Placement:
    """Counts what became of one request's records, and follows those that have moved to their new home."""

    def __init__(self, router: Router, bucket_at: Callable[[int], int], deadline: float) -> None:
        """`bucket_at`: the bucket of the event at a position. `deadline`: by the event loop's clock."""
        self._router = router
        self._bucket_at = bucket_at
        self._deadline = deadline
        self.accepted = 0
        self.duplicates = 0
        self.failures: list[tuple[Share, BaseException]] = []

    def take_in(self, shares: Iterable[Share], outcomes: Iterable[Outcome]) -> Share:
        """Count what the partitions said. Gives the records that have moved, in their order."""
        moved = Share()
        for share, outcome in zip(shares, outcomes, strict=True):
            if isinstance(outcome, MovedError):
                self.duplicates += len(outcome.duplicates)
                self.accepted += len(share.keys) - len(outcome.duplicates) - len(outcome.moved)
                for index in outcome.moved:
                    moved.add(share, index)
            elif isinstance(outcome, BaseException):
                self.failures.append((share, outcome))
            else:
                self.duplicates += len(outcome)
                self.accepted += len(share.keys) - len(outcome)
        return moved

    async def follow(self, route: Route, moved: Share) -> None:
        """Store what the partitions of `route` don't store any more, by the newer topology."""
        try:
            newer = await self._router.newer_than(route, self._deadline)
        except PistatsError as error:
            self.failures.append((moved, error))
        else:
            await self.store(newer, moved)

    async def store(self, route: Route, records: Share) -> None:
        """Store what nobody has stored, and count the rest as duplicates. Failures are noted, not raised.

        Former homes are asked first: what they have is fixed, because they store nothing by this or an earlier layout.
        """
        try:
            records = await self._unknown(route, records)
            shares = self._by_home(route, records)
            outcomes = await self._submit([(route.homes[home], share) for home, share in shares.items()])
        except Exception as error:
            self.failures.append((records, error))
            return
        moved = self.take_in(shares.values(), outcomes)
        if moved.keys:
            await self.follow(route, moved)

    async def _unknown(self, route: Route, records: Share) -> Share:
        """The records that no former home has. Raises why one didn't say; nothing was stored then."""
        asked: dict[MicroBatcher, list[int]] = {}
        for index, position in enumerate(records.positions):
            for batcher in route.former.get(self._bucket_at(position), ()):
                asked.setdefault(batcher, []).append(index)
        if not asked:
            return records
        questions = [(batcher, records.part(indexes)) for batcher, indexes in asked.items()]
        answers = await self._submit(questions)
        known = {
            indexes[index] for indexes, answer in zip(asked.values(), answers, strict=True) for index in _known(answer)
        }
        self.duplicates += len(known)
        return records.part(index for index in range(len(records.keys)) if index not in known)

    async def _submit(self, parts: Sequence[tuple[MicroBatcher, Share]]) -> list[Outcome]:
        """Submit all parts, or none, by OverloadedError, when one has no room."""
        for batcher, share in parts:
            batcher.check_room(size_bytes(share.payloads))
        submitted = [batcher.submit(share.keys, share.payloads, self._deadline) for batcher, share in parts]
        return await asyncio.gather(*submitted, return_exceptions=True)

    def _by_home(self, route: Route, records: Share) -> dict[int, Share]:
        shares: dict[int, Share] = {}
        for index, position in enumerate(records.positions):
            home = route.topology.partition_of(self._bucket_at(position))
            shares.setdefault(home, Share()).add(records, index)
        return shares


def _known(answer: Outcome) -> Sequence[int]:
    """What a former home has. Raises why it didn't say."""
    if isinstance(answer, MovedError):
        return answer.duplicates
    if isinstance(answer, BaseException):
        raise answer
    return answer
