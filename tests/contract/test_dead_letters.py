"""Dead letters on a real mongod: which are asked for, in what order they are redone, and what people see of one."""

from datetime import UTC, datetime
from typing import Any

from pistats.consumer.dead_letters import ALL, DeadLetter, DeadLetters, LetterCount, Which, redo, redoing
from pistats.enrich import Reason
from pistats.mongo.indexes import Database, ensure_group_indexes


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
