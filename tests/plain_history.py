"""The definitions of sessions and history once more, in plain loops: slow, short, and independent of the SQL."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

Event = dict[str, Any]


@dataclass
class PlainSession:
    """One session: its events in order, and what follows from them."""

    events: list[Event]

    @property
    def start(self) -> int:
        return min(one["event_time"] for one in self.events)

    @property
    def end(self) -> int:
        return max(one["event_time"] for one in self.events)

    @property
    def views(self) -> list[Event]:
        return [one for one in self.events if one["name"] == "page_view"]

    @property
    def bounce(self) -> bool:
        passive = {"page_view", "engagement", "identify"}
        interactive = any(one["name"] not in passive for one in self.events)
        return len(self.views) == 1 and not interactive and self.end - self.start < 10_000

    @property
    def duration_ms(self) -> int:
        return 0 if self.bounce else self.end - self.start

    @property
    def engaged_ms(self) -> int:
        engagements = (one["properties"] or {} for one in self.events if one["name"] == "engagement")
        reported = (properties.get("engaged_ms") for properties in engagements)
        return sum(int(ms) for ms in reported if isinstance(ms, int | float) and 0 <= ms <= 86_400_000)

    @property
    def entry_page(self) -> str | None:
        pages = [(one["event_time"], one["path"]) for one in self.views if one["path"]]
        return min(pages)[1] if pages else None

    @property
    def exit_page(self) -> str | None:
        pages = [(one["event_time"], one["path"]) for one in self.views if one["path"]]
        return max(pages)[1] if pages else None

    @property
    def arrival(self) -> dict[str, str | None]:
        names = ("source", "medium", "campaign", "channel")
        arrivals = [
            ((one["event_time"], *(one[name] or "" for name in names)), {name: one[name] for name in names})
            for one in self.views
            if one["channel"] is not None
        ]
        return min(arrivals, key=lambda arrival: arrival[0])[1] if arrivals else dict.fromkeys(names)

    @property
    def source(self) -> str | None:
        arrival = self.arrival
        return arrival["source"] or ("Direct" if arrival["channel"] == "Direct" else None)

    def first_known(self, name: str) -> str | None:
        return next((one[name] for one in in_order(self.events) if one[name] is not None), None)


def in_order(events: Iterable[Event]) -> list[Event]:
    return sorted(events, key=lambda one: (one["event_time"], one["partition"], one["offset"]))


def sessions_of(events: Iterable[Event]) -> list[PlainSession]:
    """Every session of every visitor among the events."""
    by_visitor = defaultdict(list)
    for one in in_order(events):
        by_visitor[one["visitor_id"]].append(one)
    sessions = []
    for visitor_events in by_visitor.values():
        current: list[Event] = []
        for one in visitor_events:
            time = one["event_time"]
            gap = current and time - current[-1]["event_time"] > 1_800_000
            if gap or (current and time - current[0]["event_time"] > 86_400_000):
                sessions.append(PlainSession(current))
                current = []
            current = [*current, one]
        sessions.append(PlainSession(current))
    return sessions


def period_of(time_ms: int, timezone: str, granularity: str) -> str:
    """The ISO date, or hour with offset, that the period of an instant starts on."""
    local = datetime.fromtimestamp(time_ms / 1000, UTC).astimezone(ZoneInfo(timezone))
    if granularity == "hour":
        return (local - timedelta(0)).replace(minute=0, second=0, microsecond=0).isoformat()
    day = local.date()
    if granularity == "week":
        day -= timedelta(days=day.weekday())
    return (day.replace(day=1) if granularity == "month" else day).isoformat()


def history(
    events: Iterable[Event],
    timezone: str,
    from_date: str,
    to_date: str,
    by: tuple[str, ...],
    granularity: str = "day",
    bots: str = "exclude",
    picks: Callable[[Event, PlainSession], bool] = lambda *_: True,
) -> dict[tuple[str | None, ...], dict[str, float | int | None]]:
    """Every metric of every key that has an event or a session."""
    counted = [one for one in events if bots == "include" or one["is_bot"] == (bots == "only")]
    seen: dict[tuple[str | None, ...], list[Event]] = defaultdict(list)
    held: dict[tuple[str | None, ...], list[PlainSession]] = defaultdict(list)

    def within(time_ms: int) -> bool:
        return from_date <= period_of(time_ms, timezone, "day") <= to_date

    def key_of_event(one: Event, session: PlainSession) -> tuple[str | None, ...]:
        own = {"page": "path", "event": "name"}
        values: dict[str, Any] = {
            "time": period_of(one["event_time"], timezone, granularity),
            "entry_page": session.entry_page,
            "exit_page": session.exit_page,
            "source": session.source,
            "channel": session.arrival["channel"],
            "campaign": session.arrival["campaign"],
        }
        return tuple(values[name] if name in values else one[own.get(name, name)] for name in by)

    def keys_of_session(session: PlainSession, picked: list[Event]) -> set[tuple[str | None, ...]]:
        def key(event_name: str | None) -> tuple[str | None, ...]:
            values: dict[str, Any] = {
                "time": period_of(session.start, timezone, granularity),
                "page": session.entry_page,
                "entry_page": session.entry_page,
                "exit_page": session.exit_page,
                "source": session.source,
                "channel": session.arrival["channel"],
                "campaign": session.arrival["campaign"],
                "event": event_name,
            }
            return tuple(values[name] if name in values else session.first_known(name) for name in by)

        return {key(one["name"]) for one in picked}

    for session in sessions_of(counted):
        picked = [one for one in session.events if picks(one, session)]
        for one in picked:
            if within(one["event_time"]):
                seen[key_of_event(one, session)].append(one)
        if picked and within(session.start):
            for key in keys_of_session(session, picked):
                held[key].append(session)
    return {key: metrics_of(seen[key], held[key]) for key in {*seen, *held}}


def metrics_of(seen: list[Event], held: list[PlainSession]) -> dict[str, float | int | None]:
    sessions = len(held)

    def per_session(total: float) -> float | None:
        return total / sessions if sessions else None

    return {
        "visitors": len({one["visitor_id"] for one in seen}),
        "views": sum(one["name"] == "page_view" for one in seen),
        "events": len(seen),
        "sessions": sessions,
        "bounce_rate": per_session(sum(one.bounce for one in held)),
        "visit_duration": per_session(sum(one.duration_ms for one in held) / 1000),
        "views_per_session": per_session(sum(len(one.views) for one in held)),
        "engaged_time": per_session(sum(one.engaged_ms for one in held) / 1000),
    }
