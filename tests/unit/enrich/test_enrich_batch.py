"""A batch is enriched event by event: a bad one becomes a failure, the others are whole."""

from typing import Any

import orjson
import pytest

from pistats.enrich import FIELDS, STEPS, EnrichContext, Failure, Reason, enrich_batch

RECORD = {
    "site": "news",
    "received_time": 1_764_000_000_000,
    "event_id": "e1",
    "visitor_id": "v1",
    "name": "page_view",
    "url": "https://news.example/sport/final?utm_source=x",
}


@pytest.fixture(scope="module")
def context() -> EnrichContext:
    return EnrichContext.standard()


def payload(**changes: Any) -> bytes:
    return orjson.dumps({**RECORD, **changes})


def test_a_bad_event_does_not_sink_its_batch(context: EnrichContext) -> None:
    payloads = [payload(), b"{", b"[1]", payload(visitor_id=None), payload(url=5), payload(time="x"), payload()]

    outcomes = enrich_batch(payloads, 3, range(10, 17), context)

    good = [outcome for outcome in outcomes if not isinstance(outcome, Failure)]
    assert [event["offset"] for event in good] == [10, 16]
    assert [outcome.reason for outcome in outcomes if isinstance(outcome, Failure)] == [
        Reason.NOT_JSON,
        *[Reason.NOT_AN_EVENT] * 4,
    ]
    assert {event["partition"] for event in good} == {3}


def test_an_event_has_every_field_and_no_other(context: EnrichContext) -> None:
    (event,) = enrich_batch([payload(is_bot=True, channel="mine", surprise=1)], 0, [0], context)

    assert not isinstance(event, Failure)
    assert tuple(event) == FIELDS
    assert event["is_bot"] is False
    assert event["channel"] == "Organic Social"
    assert event["title"] is None


def test_a_step_that_fails_names_itself(context: EnrichContext, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(event: dict[str, Any], context: EnrichContext) -> None:
        raise ZeroDivisionError("no")

    monkeypatch.setattr("pistats.enrich.steps.STEPS", (("page", break_down),))

    assert enrich_batch([payload()], 0, [0], context) == [Failure("page", Reason.STEP_FAILED, "ZeroDivisionError: no")]


HOSTILE = [
    "https://[::1",
    "http://",
    "\x00",
    "//",
    "?",
    "http://a b/ü?utm_source=%ff",
    "javascript:alert(1)",
    "a" * 2048,
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_never_a_failure(context: EnrichContext, text: str) -> None:
    (event,) = enrich_batch([payload(url=text, referrer=text, user_agent=text, language=text)], 0, [0], context)

    assert not isinstance(event, Failure)


def test_events_that_fail_in_a_step_fail_alone(context: EnrichContext, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def picky(event: dict[str, Any], _: EnrichContext) -> None:
        if event["offset"] in (0, 3, 4):
            raise ValueError(event["offset"])

    def last(event: dict[str, Any], _: EnrichContext) -> None:
        seen.append(event["offset"])

    monkeypatch.setattr("pistats.enrich.steps.STEPS", (("picky", picky), ("last", last)))

    outcomes = enrich_batch([payload()] * 5, 0, range(5), context)

    failed = [Failure("picky", Reason.STEP_FAILED, f"ValueError: {offset}") for offset in (0, 3, 4)]
    assert [one for one in outcomes if isinstance(one, Failure)] == failed
    assert [isinstance(one, Failure) for one in outcomes] == [True, False, False, True, True]
    assert seen == [1, 2]


def test_the_time_of_each_stage_is_told_once_a_batch(context: EnrichContext) -> None:
    told: list[tuple[str, float]] = []

    enrich_batch([payload(), b"{"], 0, [0, 1], context, lambda stage, seconds: told.append((stage, seconds)))

    assert [stage for stage, _ in told] == ["decode", *(name for name, _ in STEPS)]
    assert all(0 < seconds < 1 for _, seconds in told)
