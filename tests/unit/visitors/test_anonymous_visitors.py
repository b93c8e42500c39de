"""Ids that we make ourselves change every day: their documents end by themselves, others never do."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from pistats.identity import anonymous_visitor
from pistats.visitors.calendar import LocalDays, day_of
from pistats.visitors.visitors import KEPT_ANONYMOUS_DAYS, Visitors

ANONYMOUS = anonymous_visitor("news", "192.0.2.0", "Firefox", b"the day's salt")
LAST_DAY = day_of(datetime(2026, 11, 24, tzinfo=UTC).date())


def documents_of(visitor_id: str, days: list[int]) -> list[dict[str, object]]:
    visitors = Visitors(0, lambda _: LocalDays(ZoneInfo("Europe/Berlin")), keep=10)
    visitors.merge("news", visitor_id, days[0] * 86_400_000, days)
    return visitors.documents()


def test_an_anonymous_visitor_is_forgotten_some_days_after_the_last_event() -> None:
    (document,) = documents_of(ANONYMOUS, [LAST_DAY - 3, LAST_DAY])
    assert document["expires_at"] == datetime(2026, 11, 24, tzinfo=UTC) + timedelta(days=KEPT_ANONYMOUS_DAYS)


def test_a_visitor_with_an_id_of_the_site_is_kept() -> None:
    (document,) = documents_of("customer-17", [LAST_DAY])
    assert "expires_at" not in document
