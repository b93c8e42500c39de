"""Turns the requests that wait for a partition into work for its next commit."""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from pistats.consumer.lease import LeaseStore
from pistats.consumer.poison import Life
from pistats.consumer.requests import MAX_TRIES, Request, Requests, lives_at
from pistats.consumer.transform import Outcome, Transform
from pistats.consumer.work import Redone, VisitorMerge, Work
from pistats.mongo.indexes import Database

LOOK_S = 1.0
"""Between two looks at an empty list."""
TOGETHER = {"redo_dead_letter": 100, "merge_visitors": 1, "erase_visitor": 100}
"""Requests of one commit, by kind. A merge holds up to 1,000 visitors by itself."""

OwnerOf = Callable[[str, str], int]
"""(site, visitor id) -> the partition that writes this visitor's documents now."""


@dataclass(frozen=True, slots=True)
class Duty:
    """What one commit does about requests: the work, and the requests that are done by it."""

    work: Work
    requests: Sequence[Any]  # their `_id`s


class Duties:
    """One partition's list, in order. Reads it; only the commit takes anything off it."""

    def __init__(
        self, group: Database, partition: int, transform: Transform, leases: LeaseStore, life: Life,
        owner_of: OwnerOf | None = None,
    ) -> None:  # fmt: skip
        """`life`: of this process. `owner_of`: None when no visitor can have moved to another partition."""
        self.requests = Requests(group)
        self._letters = group["dead_letters"]
        self._partition = partition
        self._transform = transform
        self._leases = leases
        self._life = life
        self._owner_of = owner_of
        self._looked = 0.0

    async def waiting(self) -> list[Request]:
        """The first requests, all of one kind, to be done together. Looks once a second when there are none."""
        if time.monotonic() - self._looked < LOOK_S:
            return []
        found = await self.requests.waiting(self._partition, max(TOGETHER.values()))
        if not found:
            self._looked = time.monotonic()
            return []
        first = found[0]
        if not _harmless(first):  # it may have ended a process: alone, then, so that it is known which one did
            return await self._with_deaths(first)
        alike = takewhile(lambda one: one["kind"] == first["kind"] and _harmless(one), found)
        return list(alike)[: TOGETHER[first["kind"]]]

    async def _with_deaths(self, request: Request) -> list[Request]:
        """The request, once the processes that have ended while at it are counted; nothing when it is gone.

        One that only lost its lease, because the machine gave it no processor, has not ended: a process has when there
        is a later one under its name.
        """
        lives = {**await self._leases.lives(), self._life[0]: self._life[1]}
        dead = [life for life in lives_at(request) if lives.get(life[0], life[1]) != life[1]]
        for life in dead:
            await self.requests.ended([request], life)
        return [request] if not dead else await self.requests.of(request["_id"])

    async def given_up(self, requests: Sequence[Request]) -> bool:
        """Whether these were put aside just now, because the process has ended on them three times.

        A dead letter stays one instead: see `prepare`.
        """
        if requests[0]["kind"] == "redo_dead_letter" or requests[0]["tries"] < MAX_TRIES:
            return False
        await self.requests.put_aside(requests, f"the consumer's process ended {MAX_TRIES} times while at it")
        return True

    async def prepare(self, requests: Sequence[Request]) -> Duty:
        """Enrich, look up, sort: everything that comes before the commit. Touches events of dead letters."""
        ids = [one["_id"] for one in requests]
        match requests[0]["kind"]:
            case "redo_dead_letter":
                return Duty(Work(redone=await self._redone(requests)), ids)
            case "merge_visitors":
                return Duty(Work(merged=_merges(requests[0])), ids)
            case "erase_visitor":
                return Duty(Work(erased=[(one["site"], one["visitor_id"]) for one in requests]), ids)
            case kind:
                raise ValueError(f"a request of the unknown kind {kind!r}")

    async def forward(self, requests: Sequence[Request]) -> bool:
        """Hand on what concerns visitors that live in another partition by now. Whether there was any of it."""
        if self._owner_of is None or requests[0]["kind"] == "redo_dead_letter":
            return False
        moved = False
        for request in requests:
            parts = self._by_owner(request, self._owner_of)
            if parts.keys() - {self._partition}:
                await self.requests.split(request, parts)
                moved = True
        return moved

    def _by_owner(self, request: Request, owner_of: OwnerOf) -> dict[int, dict[str, Any]]:
        if request["kind"] == "erase_visitor":
            return {owner_of(request["site"], request["visitor_id"]): {}}
        parts: dict[int, list[Any]] = defaultdict(list)
        for visitor in request["visitors"]:
            parts[owner_of(visitor[0], visitor[1])].append(visitor)
        return {partition: {"visitors": visitors} for partition, visitors in parts.items()}

    async def _redone(self, requests: Sequence[Request]) -> list[Redone]:
        """What has become of the dead letters; one that is gone needs nothing.

        Each once, however often it is asked for: as it was mended last, if it was.
        """
        asked = {one["offset"]: one for one in sorted(requests, key=lambda one: "mended" in one)}
        ids = [{"partition": self._partition, "offset": offset} for offset in asked]
        letters = {letter["_id"]["offset"]: letter async for letter in self._letters.find({"_id": {"$in": ids}})}
        return [self._redo(letters[offset], one) for offset, one in asked.items() if offset in letters]

    def _redo(self, letter: Mapping[str, Any], asked: Request) -> Redone:
        offset, minute, payload = letter["_id"]["offset"], letter["append_minute"], bytes(letter["payload"])
        received = bytes(letter.get("received", payload))
        payload = bytes(asked.get("mended", payload))
        kept = None if received == payload else received
        if asked["tries"] >= MAX_TRIES:
            return Redone(offset, minute, payload, self._transform.danger.verdict(), received=kept)
        outcome = self._transform.one(payload, self._partition, offset)
        return Redone(offset, minute, payload, outcome, self._moved_to(outcome), kept)

    def _moved_to(self, outcome: Outcome) -> int | None:
        """Where the event's visitor lives by now, if that is another partition."""
        if self._owner_of is None or not isinstance(outcome, dict):
            return None
        owner = self._owner_of(outcome["site"], outcome["visitor_id"])
        return None if owner == self._partition else owner


def _harmless(request: Request) -> bool:
    """Nobody has begun with it and not said how it ended."""
    return request["tries"] == 0 and not lives_at(request)


def _merges(request: Request) -> list[VisitorMerge]:
    known_time = request.get("known_time", 0)
    return [VisitorMerge(*visitor)._replace(known_time=known_time) for visitor in request["visitors"]]
