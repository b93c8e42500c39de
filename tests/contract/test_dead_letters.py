"""Dead letters on a real mongod: which are asked for, in what order they are redone, and what people see of one."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from pistats.consumer.dead_letters import (
    ALL,
    DeadLetter,
    DeadLetterError,
    DeadLetters,
    LetterCount,
    Which,
    mend,
    redo,
    redoing,
)
from pistats.enrich import Reason
from pistats.mongo.indexes import Database, ensure_group_indexes
from pistats.sites import SiteStore


def letter(offset: int, stage: str, reason: Reason, age: int) -> dict[str, Any]:
    return {
        "_id": {"partition": 0, "offset": offset},
        "append_minute": 0,
        "stage": stage,
        "reason": reason.value,
        "detail": "",
        "payload": b"{}",
        "code_version": "1",
        "created_at": datetime.fromtimestamp(1_000 - age, UTC),
    }


async def test_they_are_counted_chosen_and_redone_once(database: Database) -> None:
    await ensure_group_indexes(database, 3_600)
    await database.dead_letters.insert_many(
        [
            letter(1, "page", Reason.STEP_FAILED, age=1),
            letter(2, "page", Reason.STEP_FAILED, age=9),
            letter(3, "page", Reason.TOOK_TOO_LONG, age=5),
            letter(4, "decode", Reason.NOT_JSON, age=7),
        ]
    )
    letters = DeadLetters(database)
    assert await letters.counts() == [
        LetterCount("page", "step_failed", 2),
        LetterCount("decode", "not_json", 1),
        LetterCount("page", "took_too_long", 1),
    ]
    page, failed = Which("page"), Which("page", Reason.STEP_FAILED)
    counts = [await letters.count(which) for which in (ALL, page, failed, Which(reason=Reason.NOT_JSON), Which("$ne"))]
    assert counts == [4, 3, 2, 1, 0]
    assert [one.offset for one in await letters.newest(2, page)] == [1, 3]
    assert await letters.places(page, most=2) == [(0, 2), (0, 3)], "the last try longest ago comes first"
    assert len(await letters.places()) == 4

    assert await redo(database, await letters.places(failed)) == ["redo:0:2", "redo:0:1"]
    await redo(database, await letters.places(page))
    assert await redoing(database) == 3, "one that waits already is asked for once"


def test_a_payload_is_shown_whole_and_inert() -> None:
    one = DeadLetter(0, 1, 0, "decode", "not_json", "", b"\xff\x00a\xe2\x80\xaeb\x1b[31m \xc3\xa4", "1", 0)
    assert one.text == r"\xff\x00a\u202eb\x1b[31m ä"


async def test_one_is_mended_only_into_what_can_be_an_event_of_a_site(database: Database) -> None:
    await SiteStore(database).add("news.example")
    await database.dead_letters.insert_one({**letter(1, "page", Reason.STEP_FAILED, age=1), "payload": b'{"site":1}'})
    refused = {
        '{"site": "news.example",}': "This is no JSON: .*line 1, column 2",
        "[]": "begins with {",
        '{"site": "nws.example"}': "there is no such site",
        '{"site": {"$ne": ""}}': "there is no such site",
        '{"site": "news.example", "n": 1%s}' % ("0" * 30): "can be no event",
        '{"site": "news.example", "n": "%s"}' % ("x" * 100_000): "too many",
    }
    for text, reason in refused.items():
        with pytest.raises(DeadLetterError, match=reason):
            await mend(database, database, "0:1", text)
    with pytest.raises(DeadLetterError, match="counted meanwhile"):
        await mend(database, database, "0:2", '{"site": "news.example"}')
    assert await redoing(database) == 0

    await redo(database, [(0, 1)])
    await mend(database, database, "0:1", '{"site": "news.example"}')
    await mend(database, database, "0:1", '{"site":   "news.example"}')
    mended = await database.requests.find({"mended": {"$exists": True}}).to_list()
    assert [bytes(one["mended"]) for one in mended] == [b'{"site":"news.example"}'], "beside the one that waits"


def test_a_draft_is_json_of_many_lines_in_which_all_can_be_seen() -> None:
    one = DeadLetter(0, 1, 0, "page", "step_failed", "", '{"site":"ä","n":["\u202e\\n"]}'.encode(), "1", 0)
    assert json.loads(one.draft) == json.loads(one.payload)
    assert one.draft.isascii() is False
    assert "\u202e" not in one.draft
    assert one.draft.count("\n") == 5
    assert replace(one, payload=b'{"site":').draft == '{"site":'
