"""Annotations: what happened on a day, written by people, shown on the charts of a site."""

import secrets
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from pistats.clock import Clock, now_ms
from pistats.errors import InputError

MAX_TEXT_CHARS = 200
"""One line under a chart."""

MAX_PER_SITE = 1_000
"""Three a week for six years; bounds what one read brings."""

ID_BYTES = 9
"""Random bytes of an id: 12 characters."""


@dataclass(frozen=True, slots=True)
class Annotation:
    """One line of text on one day of the site's calendar."""

    id: str
    site: str
    date: date
    text: str
    created_time: int


class AnnotationStore:
    """The annotations of all sites, in the collection `annotations` of the system database."""

    def __init__(
        self,
        database: AsyncDatabase[dict[str, Any]],
        clock: Clock = now_ms,
        random: Callable[[int], str] = secrets.token_urlsafe,
    ) -> None:
        self._annotations = database["annotations"]
        self._clock = clock
        self._random = random

    async def add(self, site: str, on: date, text: str) -> Annotation:
        """Store one annotation. Raises InputError when there is no text, too much of it, or too many on this site."""
        line = check_text(text)
        if await self._annotations.count_documents({"site": site}, limit=MAX_PER_SITE) >= MAX_PER_SITE:
            raise InputError(f"{site} has {MAX_PER_SITE:,} annotations: remove some that nobody needs any more.")
        made = Annotation(self._random(ID_BYTES), site, on, line, self._clock())
        await self._annotations.insert_one(
            {
                "_id": made.id,
                "site": site,
                "date": on.isoformat(),
                "text": line,
                "created_time": datetime.fromtimestamp(made.created_time / 1000, UTC),
            }
        )
        return made

    async def remove(self, site: str, annotation_id: str) -> bool:
        """Remove one annotation of this site; False when it is not there (any more)."""
        gone = await self._annotations.delete_one({"_id": str(annotation_id), "site": site})
        return gone.deleted_count == 1

    async def between(self, site: str, first: date, last: date) -> list[Annotation]:
        """The annotations of the days `first` to `last`, both included, by day and then in the order they were made."""
        asked = {"site": site, "date": {"$gte": first.isoformat(), "$lte": last.isoformat()}}
        found = self._annotations.find(asked).sort([("date", 1), ("created_time", 1)]).limit(MAX_PER_SITE)
        return [_annotation(document) async for document in found]


def check_text(text: str) -> str:
    """`text` as one line without control characters, if it can be stored; else InputError."""
    line = " ".join("".join(" " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in text).split())
    if not line:
        raise InputError("An annotation needs a text: say in a few words what happened on that day.")
    if len(line) > MAX_TEXT_CHARS:
        raise InputError(f"An annotation has at most {MAX_TEXT_CHARS} characters; this one has {len(line)}.")
    return line


def _annotation(document: dict[str, Any]) -> Annotation:
    return Annotation(
        id=document["_id"],
        site=document["site"],
        date=date.fromisoformat(document["date"]),
        text=document["text"],
        created_time=int(document["created_time"].timestamp() * 1000),
    )
