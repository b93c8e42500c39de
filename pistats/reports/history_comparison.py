"""The earlier range that a history report is compared with: as much of it as there has been of the report's own."""

from calendar import monthrange
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from pistats.errors import QueryError
from pistats.reports.history import HistoryQuery
from pistats.warehouse.periods import SiteDays, day_of_ms

MONTHS = {"previous_month": 1, "previous_year": 12}


def compared_days(query: HistoryQuery, timezone: str) -> SiteDays:
    """The earlier range, whole days."""
    first, last = _earlier(query, query.from_date), _earlier(query, query.to_date)
    if query.compare in MONTHS and _ends_month(query.to_date):
        last = last.replace(day=monthrange(last.year, last.month)[1])
    return SiteDays(timezone, first, last)


def compared_until(query: HistoryQuery, timezone: str, now_ms: int) -> int | None:
    """The moment of the earlier range at which it had come as far as the one asked for has by now: the same time of
    the day on the day that answers today. None when today is not in the range."""
    today = day_of_ms(timezone, now_ms)
    if not query.from_date <= today <= query.to_date:
        return None
    zone = ZoneInfo(timezone)
    time = datetime.fromtimestamp(now_ms / 1000, zone).time()
    return int(datetime.combine(_earlier(query, today), time, zone).timestamp() * 1000)


def _earlier(query: HistoryQuery, day: date) -> date:
    """The day that answers `day` in the earlier range. A month that is shorter answers with its last day."""
    months = MONTHS.get(query.compare or "")
    try:
        if months is None:
            return day - timedelta(days=query.days)
        year, month = divmod(day.year * 12 + day.month - 1 - months, 12)
        return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))
    except (OverflowError, ValueError):
        raise QueryError(f"Nothing can be compared with {day}: ask for later days, or without `compare`.") from None


def _ends_month(day: date) -> bool:
    return day.day == monthrange(day.year, day.month)[1]
