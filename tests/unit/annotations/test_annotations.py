"""Annotations: kept by site and day, bounded, one line each."""

from datetime import date
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from pistats.annotations import MAX_TEXT_CHARS, AnnotationStore, check_text
from pistats.errors import InputError
from pistats.mongo.indexes import ensure_system_indexes

Database = AsyncDatabase[dict[str, Any]]
MONDAY, TUESDAY, SUNDAY = date(2026, 11, 23), date(2026, 11, 24), date(2026, 11, 29)


async def test_annotations_come_back_by_day_and_site(database: Database) -> None:
    await ensure_system_indexes(database)
    store = AnnotationStore(database, clock=lambda: 1_800_000_000_000)
    later = await store.add("news.example", TUESDAY, "  Front page\nredesigned ")
    first = await store.add("news.example", MONDAY, "TV spot")
    await store.add("shop.example", MONDAY, "Sale")

    assert await store.between("news.example", MONDAY, TUESDAY) == [first, later]
    assert later.text == "Front page redesigned"
    assert await store.between("news.example", TUESDAY, SUNDAY) == [later]
    assert await store.between("news.example", SUNDAY, SUNDAY) == []


async def test_only_its_own_site_can_remove_an_annotation(database: Database) -> None:
    store = AnnotationStore(database)
    made = await store.add("news.example", MONDAY, "TV spot")
    assert not await store.remove("shop.example", made.id)
    assert await store.remove("news.example", made.id)
    assert not await store.remove("news.example", made.id)


@pytest.mark.parametrize("text", ["", " \n\t ", "x" * (MAX_TEXT_CHARS + 1)])
async def test_what_cannot_be_stored_is_refused_with_a_reason(database: Database, text: str) -> None:
    with pytest.raises(InputError, match="annotation"):
        await AnnotationStore(database).add("news.example", MONDAY, text)
    assert await database.annotations.count_documents({}) == 0


async def test_a_site_has_a_bounded_number_of_annotations(database: Database) -> None:
    await database.annotations.insert_many([{"site": "news.example"} for _ in range(1_000)])
    with pytest.raises(InputError, match="remove some"):
        await AnnotationStore(database).add("news.example", MONDAY, "one too many")


def test_control_characters_become_blanks() -> None:
    assert check_text("a\x00b\u2028c") == "a b c"
