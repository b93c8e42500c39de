"""Answers: asked once, shared, forgotten when old or wrong."""

import asyncio

import pytest

from dashboard.answers import MAX_ANSWERS, Answers


class Report:
    def __init__(self) -> None:
        self.asked = 0
        self.broken = False

    async def ask(self) -> int:
        self.asked += 1
        await asyncio.sleep(0)
        if self.broken:
            raise ValueError("broken")
        return self.asked


async def test_the_same_question_at_the_same_time_is_asked_once() -> None:
    report, now = Report(), [0]
    answers = Answers(lambda: now[0], fresh_ms=100)
    assert await asyncio.gather(*(answers.get("q", report.ask) for _ in range(5))) == [1] * 5
    now[0] = 99
    assert await answers.get("q", report.ask) == 1
    assert await answers.get("other", report.ask) == 2
    now[0] = 100
    assert await answers.get("q", report.ask) == 3
    assert await answers.get("q", report.ask, fresh_ms=0) == 4


async def test_an_answer_that_took_long_is_kept_longer() -> None:
    report, now = Report(), [0]
    answers = Answers(lambda: now[0], fresh_ms=100)

    async def slow() -> int:
        now[0] += 50
        return await report.ask()

    assert await answers.get("q", slow) == 1
    await asyncio.sleep(0)
    now[0] = 499
    assert await answers.get("q", slow) == 1
    now[0] = 500
    assert await answers.get("q", slow) == 2


async def test_an_error_is_raised_to_all_who_wait_and_then_forgotten() -> None:
    report = Report()
    answers = Answers(lambda: 0)
    report.broken = True
    found = await asyncio.gather(*(answers.get("q", report.ask) for _ in range(2)), return_exceptions=True)
    assert [type(error) for error in found] == [ValueError, ValueError]
    report.broken = False
    await asyncio.sleep(0)
    assert await answers.get("q", report.ask) == 2


async def test_whoever_leaves_does_not_take_the_answer_away() -> None:
    report = Report()
    answers = Answers(lambda: 0)
    leaving = asyncio.create_task(answers.get("q", report.ask))
    await asyncio.sleep(0)
    staying = asyncio.create_task(answers.get("q", report.ask))
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert await staying == 1


async def test_only_so_many_answers_are_remembered() -> None:
    report = Report()
    answers = Answers(lambda: 0)
    for number in range(MAX_ANSWERS + 1):
        await answers.get(number, report.ask)
    assert await answers.get(0, report.ask) == MAX_ANSWERS + 2


async def test_what_was_forgotten_is_asked_anew_and_one_under_way_is_not_remembered() -> None:
    report = Report()
    answers = Answers(lambda: 0)
    under_way = asyncio.create_task(answers.get("q", report.ask))
    await asyncio.sleep(0)

    answers.forget()

    assert await answers.get("q", report.ask) == 2
    assert await under_way in (1, 2)
    assert await answers.get("q", report.ask) == 2
