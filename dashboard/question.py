"""From the address to the reports: the site, its time zone, the days and filters, and one way to ask."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import streamlit as st
from pymongo.errors import PyMongoError

from dashboard import filters, periods, query_state
from dashboard.answers import together
from dashboard.element import Element
from dashboard.frame import signed_in, site_or_hint
from dashboard.services import services
from pistats import format as fmt
from pistats.clock import now_ms
from pistats.errors import PistatsError
from pistats.glossary import GLOSSARY
from pistats.sites import Site, SiteStore

T = TypeVar("T")

CHIPS = Element("chips")

AWAY = "The database is out of reach right now. Nothing is lost: events wait in the stream. Reload in a moment."

Ask = tuple[str, Any]
"""The name of a report and its query."""


@dataclass(frozen=True, slots=True)
class Asker:
    """Asks the reports for one site, as whoever is looking may."""

    site: Site
    timezone: ZoneInfo
    now: datetime
    can_see_people: bool

    @property
    def can_edit(self) -> bool:
        """Whether whoever is looking now may change things: an asker that a callback holds is older than its click."""
        return signed_in().is_admin

    def begin(self, *asked: Ask) -> None:
        """Asks without waiting, all at once: `answer` then finds what is under way."""
        services().run(_begin(self.site, asked))

    def answers(self, *asked: Ask, fresh_ms: int | None = None) -> list[Any]:
        """The answers in order, asked at once. Raises the first error that is ours."""
        found = services().run(together(*(_ask(self.site, *one, fresh_ms) for one in asked)))
        for answer in found:
            if isinstance(answer, BaseException):
                raise answer
        return found

    def answer(self, report: str, query: Any, fresh_ms: int | None = None) -> Any:
        """One answer."""
        return self.answers((report, query), fresh_ms=fresh_ms)[0]


def asker() -> Asker | None:
    """For the site in the address; None, with a hint on the page, when there is none."""
    name = site_or_hint()
    site = guarded(lambda: services().run(SiteStore(services().system).get(name))) if name else None
    if site is None:
        return None
    timezone = ZoneInfo(site.timezone)
    now = datetime.fromtimestamp(now_ms() / 1000, timezone)
    return Asker(site, timezone, now, signed_in().role != "guest")


async def _ask(site: Site, report: str, query: Any, fresh_ms: int | None) -> Any:
    running = services()
    ask: Callable[[Site, Any], Awaitable[Any]] = getattr(running.reports, report)
    question = (running.shown.name, site.name, report, repr(query))
    return await running.answers.get(question, lambda: _call(ask, site, query), fresh_ms)


async def _begin(site: Site, asked: Sequence[Ask]) -> None:
    for one in asked:
        task = asyncio.create_task(_ask(site, *one, None))
        _UNDER_WAY.add(task)
        task.add_done_callback(_look_away)
    await asyncio.sleep(0)


_UNDER_WAY: set[asyncio.Task[Any]] = set()
"""The event loop holds its tasks weakly: a task that nobody waits for would be lost."""


def _look_away(task: asyncio.Task[Any]) -> None:
    """Whoever waits for the answer gets the error; here nobody does."""
    _UNDER_WAY.discard(task)
    if not task.cancelled():
        task.exception()


async def _call(ask: Callable[[Site, Any], Awaitable[Any]], site: Site, query: Any) -> Any:
    return await ask(site, query)


def guarded(draw: Callable[[], T]) -> T | None:
    """What `draw` gives; an error of ours becomes a box that says what to do."""
    try:
        return draw()
    except PistatsError as error:
        say_error(str(error))
    except PyMongoError:
        say_error(AWAY)
    return None


def say_error(message: str) -> None:
    """Shows a message that may hold a client's text: as text, without Markdown."""
    with st.container(border=True):
        st.text(message)


# The days


def pick_days(now: datetime) -> periods.Days:
    """Draws the period picker; gives the chosen days. They live in the address and go along to every page."""
    asked = query_state.value("period", periods.DEFAULT)
    days = periods.days_of(asked, now.date(), query_state.value("from"), query_state.value("to"))

    def along(picked: str) -> query_state.Changes:
        if picked == periods.CUSTOM:  # begins with what is shown, and the link says which days that were
            return {"from": days.first.isoformat(), "to": days.last.isoformat()}
        return {"from": None, "to": None}

    chosen = query_state.choose("Period", periods.PERIODS, "period", periods.DEFAULT, along=along, wrap=True)
    if chosen == periods.CUSTOM:
        _pick_custom(days, now)
    return days


def _pick_custom(days: periods.Days, now: datetime) -> None:
    key, half = "custom_days", "custom_days_half"
    if st.session_state.get(half) != days:
        st.session_state[key] = (days.first, days.last)

    def changed() -> None:
        picked = st.session_state.get(key) or ()
        # One date is half a range: it has to stay in the calendar until the second one is clicked.
        st.session_state[half] = days if isinstance(picked, tuple) and len(picked) == 1 else None
        if isinstance(picked, tuple) and len(picked) > 1:
            query_state.put({"from": min(picked).isoformat(), "to": max(picked).isoformat()})

    st.date_input(
        "Days",
        key=key,
        min_value=periods.EARLIEST,
        max_value=now.date(),
        format="YYYY-MM-DD",
        label_visibility="collapsed",
        width=260,
        on_change=changed,
    )


def say_complete(complete_through: int | None, asked: Asker) -> None:
    """Always on the page: how far the numbers reach."""
    st.caption(complete_words(complete_through, asked), help=GLOSSARY["complete_through"].definition)


def complete_words(complete_through: int | None, asked: Asker) -> str:
    """How far the numbers reach, in the site's time."""
    if complete_through is None:
        text = "how complete is not known"
    else:
        time = datetime.fromtimestamp(complete_through / 1000, asked.timezone)
        today = time.date() == asked.now.date()
        text = f"complete through {time:%H:%M:%S}" if today else f"complete through {fmt.weekday(time)}, {time:%H:%M}"
    return f"{text} · {fmt.timezone(asked.site.timezone)}"


# The filters


def chosen_filters() -> tuple[filters.Filter, ...]:
    """The filters in the address."""
    return filters.parse(query_state.values("filter"))


def put_filters(chosen: Sequence[filters.Filter]) -> None:
    """Changes the filters in the address."""
    query_state.put({"filter": [str(one) for one in chosen]})


def show_filters(chosen: Sequence[filters.Filter], hint: str = "") -> None:
    """Draws the filters as chips that can be taken away. Without any: the `hint`, in the same room."""

    def remove(key: str) -> None:
        put_filters([one for one in chosen_filters() if key and str(one) != key])

    # Of its own, so that what stands below keeps its place among containers when the first filter comes.
    with st.container(key="filter_row"):
        if chosen or hint:
            CHIPS.show("filters", {"filters": [_chip(one) for one in chosen], "hint": hint}, remove=remove)


def _chip(one: filters.Filter) -> dict[str, Any]:
    dimension = filters.dimension_of(one.dimension)
    assert dimension is not None  # `parse` lets no other through
    unknown = one.value is None
    return {
        "key": str(one),
        "name": dimension.name,
        "kind": "" if unknown else dimension.key,
        "value": dimension.unknown if unknown else one.value,
    }


def picked_value(key: object) -> str | None:
    """The value that a table says was clicked: it comes as a list that is empty for "unknown"."""
    return str(key[0]) if isinstance(key, list) and key else None
