"""The dead letters of a group: events that could not be enriched, with their bytes, so that they can be redone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pistats.enrich import Reason
from pistats.errors import FinalError
from pistats.mongo.indexes import Database


class DeadLetterError(FinalError):
    """There is no such dead letter."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that is counted as nothing but a dead letter. Everything but the place is a stranger's text."""

    partition: int
    offset: int
    append_minute: int
    """Unix ms."""
    stage: str
    reason: str
    detail: str
    payload: bytes
    code_version: str
    """Of the piStats that tried last."""
    created_time: int
    """Unix ms, of the last try."""

    @property
    def id(self) -> str:
        """As the command line writes it: PARTITION:OFFSET."""
        return f"{self.partition}:{self.offset}"


def parse_id(text: str) -> tuple[int, int]:
    """(partition, offset) of `PARTITION:OFFSET`. Raises DeadLetterError."""
    partition, colon, offset = text.partition(":")
    if not (colon and partition.isascii() and partition.isdigit() and offset.isascii() and offset.isdigit()):
        raise DeadLetterError(f"{text!r} names no dead letter: write PARTITION:OFFSET, for example 0:1234.")
    return int(partition), int(offset)


class DeadLetters:
    """Reads the dead letters of one group."""

    def __init__(self, group: Database) -> None:
        self._letters = group["dead_letters"]

    async def newest(self, most: int, reason: Reason | None = None) -> list[DeadLetter]:
        """The last ones, newest first."""
        found = self._letters.find(_of(reason)).sort("created_at", -1).limit(most)
        return [_letter(document) async for document in found]

    async def get(self, text: str) -> DeadLetter:
        """The one of that id. Raises DeadLetterError."""
        partition, offset = parse_id(text)
        document = await self._letters.find_one({"_id": {"partition": partition, "offset": offset}})
        if document is None:
            raise DeadLetterError(
                f"There is no dead letter {text}. `pistats dead-letters list` shows those that there are."
            )
        return _letter(document)

    async def count(self, reason: Reason | None = None) -> int:
        """How many there are."""
        return await self._letters.count_documents(_of(reason))

    async def places(self, reason: Reason | None = None) -> list[tuple[int, int]]:
        """(partition, offset) of all, in order."""
        found = self._letters.find(_of(reason), {"_id": 1}).sort("_id", 1)
        return [(document["_id"]["partition"], document["_id"]["offset"]) async for document in found]

    async def still_there(self, places: Sequence[tuple[int, int]]) -> int:
        """How many of these, (partition, offset), are dead letters."""
        ids = [{"partition": partition, "offset": offset} for partition, offset in places]
        return await self._letters.count_documents({"_id": {"$in": ids}})


def _of(reason: Reason | None) -> dict[str, Any]:
    return {} if reason is None else {"reason": reason.value}


def _letter(document: Mapping[str, Any]) -> DeadLetter:
    created_at: datetime = document["created_at"]
    return DeadLetter(
        partition=document["_id"]["partition"],
        offset=document["_id"]["offset"],
        append_minute=document["append_minute"],
        stage=document["stage"],
        reason=document["reason"],
        detail=document["detail"],
        payload=bytes(document["payload"]),
        code_version=document["code_version"],
        created_time=int(created_at.replace(tzinfo=UTC).timestamp() * 1000),
    )
