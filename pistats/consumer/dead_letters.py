"""The dead letters of a group: events that could not be enriched, with their bytes, so that they can be redone."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from pistats.consumer.requests import Requests, redo_dead_letter
from pistats.enrich import Reason
from pistats.errors import FinalError
from pistats.mongo.indexes import Database
from pistats.sites import SiteStore

MAX_MENDED_BYTES = 100_000
"""Three times what a client may send for one event: the server's fields stand beside it."""


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
    received: bytes | None = None
    """The bytes that came, where somebody has mended the payload and it failed again."""

    @property
    def id(self) -> str:
        """As the command line writes it: PARTITION:OFFSET."""
        return f"{self.partition}:{self.offset}"

    @property
    def text(self) -> str:
        """The payload for people: nothing in it is lost, hidden, or can turn the direction of what is around it."""
        return _visible(self.payload.decode("utf-8", "backslashreplace"), escaped)

    @property
    def draft(self) -> str:
        """The payload to be mended: JSON, a field a line, with JSON's escapes for what cannot be seen; else `text`."""
        try:
            lines = json.dumps(json.loads(self.payload), indent=2, ensure_ascii=False).split("\n")
        except (ValueError, RecursionError):
            return self.text
        return "\n".join(_visible(line, lambda letter: json.dumps(letter)[1:-1]) for line in lines)


def escaped(letter: str) -> str:
    """How Python writes a letter that cannot be seen."""
    return letter.encode("unicode_escape").decode()


def _visible(text: str, escape: Callable[[str], str]) -> str:
    return "".join(letter if letter.isprintable() else escape(letter) for letter in text)


@dataclass(frozen=True, slots=True)
class Which:
    """Dead letters of a stage, for a reason, or both; of all, when neither is given."""

    stage: str | None = None
    reason: Reason | None = None

    def query(self) -> dict[str, Any]:
        """As a filter of MongoDB."""
        asked = {"stage": self.stage, "reason": self.reason and self.reason.value}
        return {name: {"$eq": value} for name, value in asked.items() if value is not None}


ALL = Which()


@dataclass(frozen=True, slots=True)
class LetterCount:
    """How many there are of one stage and reason."""

    stage: str
    reason: str
    count: int


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

    async def newest(self, most: int, which: Which = ALL) -> list[DeadLetter]:
        """The last ones, newest first."""
        found = self._letters.find(which.query()).sort("created_at", -1).limit(most)
        return [_letter(document) async for document in found]

    async def get(self, text: str) -> DeadLetter:
        """The one of that id. Raises DeadLetterError."""
        partition, offset = parse_id(text)
        document = await self._letters.find_one({"_id": {"partition": partition, "offset": offset}})
        if document is None:
            raise DeadLetterError(
                f"There is no dead letter {text}: it was counted meanwhile, or never was one. "
                "`pistats dead-letters list` shows those that there are."
            )
        return _letter(document)

    async def count(self, which: Which = ALL) -> int:
        """How many there are."""
        return await self._letters.count_documents(which.query())

    async def counts(self) -> list[LetterCount]:
        """How many of each stage and reason, the most first. Read from an index alone."""
        of_all: list[dict[str, Any]] = [
            {"$match": {"stage": {"$gte": ""}}},
            {"$group": {"_id": {"stage": "$stage", "reason": "$reason"}, "count": {"$sum": 1}}},
            {"$sort": {"count": -1, "_id": 1}},
        ]
        found = await (await self._letters.aggregate(of_all)).to_list()
        return [LetterCount(one["_id"]["stage"], one["_id"]["reason"], one["count"]) for one in found]

    async def places(self, which: Which = ALL, most: int = 0) -> list[tuple[int, int]]:
        """(partition, offset), those first whose last try is longest ago; `most` of them, or all."""
        found = self._letters.find(which.query(), {"_id": 1}).sort("created_at", 1).limit(most)
        return [(document["_id"]["partition"], document["_id"]["offset"]) async for document in found]

    async def still_there(self, places: Sequence[tuple[int, int]]) -> int:
        """How many of these, (partition, offset), are dead letters."""
        ids = [{"partition": partition, "offset": offset} for partition, offset in places]
        return await self._letters.count_documents({"_id": {"$in": ids}})


async def redo(group: Database, places: Iterable[tuple[int, int]]) -> list[str]:
    """Have these, (partition, offset), tried again by whoever owns their partitions; the ids of the requests.

    May be repeated: one that waits already is asked for once, and one that is counted by now is none any more.
    """
    asked = [redo_dead_letter(partition, offset) for partition, offset in places]
    await Requests(group).add(asked)
    return [one["_id"] for one in asked]


async def mend(group: Database, system: Database, letter_id: str, text: str) -> None:
    """Have a dead letter tried again with `text`, a JSON object, in the place of its bytes.

    It is counted as that, or stays with the new reason. May be repeated. Raises DeadLetterError, and changes nothing:
    there is no such letter any more, or `text` can be no event of a site.
    """
    letter = await DeadLetters(group).get(letter_id)
    mended = _record(text)
    site = mended.get("site")
    if not isinstance(site, str) or await SiteStore(system).get(site) is None:
        raise DeadLetterError(f"`site` is {site!r}, and there is no such site.")
    payload = orjson.dumps(mended)
    if len(payload) > MAX_MENDED_BYTES:
        raise DeadLetterError(f"{len(payload):,} bytes are too many for one event: at most {MAX_MENDED_BYTES:,}.")
    await Requests(group).add([redo_dead_letter(letter.partition, letter.offset, payload)])


def _record(text: str) -> dict[str, Any]:
    """The object that the text is. Raises DeadLetterError, which says where it is wrong."""
    try:
        record = json.loads(text)
        orjson.dumps(record)
    except json.JSONDecodeError as error:
        raise DeadLetterError(f"This is no JSON: {error.msg}, line {error.lineno}, column {error.colno}.") from None
    except (ValueError, TypeError, RecursionError) as error:
        raise DeadLetterError(f"This can be no event: {error}.") from None
    if not isinstance(record, dict):
        raise DeadLetterError("An event is a JSON object: it begins with { and ends with }.")
    return record


async def redoing(group: Database) -> int:
    """How many wait to be tried again."""
    return await group["requests"].count_documents({"kind": "redo_dead_letter", "partition": {"$ne": None}})


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
        received=bytes(document["received"]) if "received" in document else None,
    )
