"""History: what happened, by hour, day, week and month; from where, on what, and where to."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import streamlit as st

from dashboard import query_state
from dashboard.annotate import annotate_button, annotations_of, remove_annotation
from dashboard.dimension_element import CARDS, MAX_ROWS, TABLE, Card, loading_table, table_data
from dashboard.export import export_button
from dashboard.filters import PROPERTY, Filter, condition, toggled
from dashboard.first_draw import as_fragment, say_counting, shape_first
from dashboard.overview_element import OVERVIEW, Overview, loading_overview, overview_data
from dashboard.periods import COMPARED, Days
from dashboard.properties_element import properties_data
from dashboard.question import (
    Asker,
    asker,
    chosen_filters,
    guarded,
    pick_days,
    picked_value,
    put_filters,
    say_complete,
    show_filters,
)
from pistats.enrich.session import PASSIVE
from pistats.reports.history import METRICS, HistoryQuery
from pistats.reports.properties import PropertyQuery, PropertyReport

BOTS = {"exclude": "Without bots", "include": "With bots", "only": "Only bots"}

OVERVIEW_KEY, PROPERTIES_KEY = "history_overview", "history_properties"


def show() -> None:
    """Draws the page for the site and the choices in the address."""
    asked = asker()
    if asked is None:
        return
    with st.container(horizontal=True, vertical_alignment="center", key="history_controls"):
        days = pick_days(asked.now)
        granularity = _pick_granularity(days)
        freshness = st.container(width="stretch", key="freshness")
        actions = st.container(horizontal=True, width="content", key="history_actions")
    filters = chosen_filters()
    show_filters(filters, "Click a row of a table to look at its part alone.")
    over_time = _over_time(days, granularity, filters)
    asked.begin(("history", over_time))
    with actions:
        query_state.choose("Bots", BOTS, "bots", "exclude", kind="select", width=150)
        annotate_button(asked, days)
        export_button(asked, over_time, [card.chosen(query_state.value(card.key)) for card in CARDS])
    shape_first(OVERVIEW_KEY, partial(_shape, asked, days, freshness))
    with freshness:
        guarded(lambda: say_complete(asked.answer("history", over_time).complete_through, asked))
    guarded(partial(_overview, asked, days, over_time))
    # Not before: the overview comes from rollups, and would wait behind visitors by page, who have to be counted anew.
    asked.begin(*(("history", _by(over_time, card)) for card in CARDS))
    *places, last = _grid()
    for place, card in zip(places, CARDS, strict=True):
        with place:
            _card(asked, over_time, card, filters)
    with last:
        _properties(asked, over_time, filters)


def _pick_granularity(days: Days) -> str:
    options = days.granularities()
    return query_state.choose("By", options, "by", days.granularity())


def _over_time(days: Days, granularity: Any, filters: Sequence[Filter]) -> HistoryQuery:
    bots: Any = query_state.value("bots", "exclude")
    return HistoryQuery(
        from_date=days.first,
        to_date=days.last,
        metrics=METRICS,
        granularity=granularity,
        filter=condition(filters),
        compare=COMPARED.get(query_state.value("period"), "previous"),
        bots=bots if bots in ("include", "only") else "exclude",
        limit=10_000,
    )


def _by(over_time: HistoryQuery, card: Card) -> HistoryQuery:
    dimension = card.chosen(query_state.value(card.key))
    return HistoryQuery(
        from_date=over_time.from_date,
        to_date=over_time.to_date,
        metrics=card.metrics_of(dimension, every=st.session_state.get(_every(card)) == dimension.key),
        by=(dimension.key,),
        filter=over_time.filter,
        bots=over_time.bots,
        limit=MAX_ROWS,
    )


def _every(card: Card) -> str:
    """Under this key stands the dimension of the card that is looked at with every metric."""
    return f"every_metric_of_{card.key}"


def _grid() -> list[Any]:
    """Two columns of places for cards; below each other on a narrow screen."""
    return [column for _ in range((len(CARDS) + 1) // 2) for column in st.columns(2)]


def _shape(asked: Asker, days: Days, freshness: Any) -> None:
    say_counting(freshness, asked.site.timezone)
    annotations = guarded(lambda: annotations_of(asked, days)) or []
    OVERVIEW.show(OVERVIEW_KEY, loading_overview(annotations, can_edit=asked.can_edit))
    *places, last = _grid()
    for place, card in zip(places, CARDS, strict=True):
        with place, as_fragment():
            TABLE.show(f"history_{card.key}", loading_table(card.title))
    with last, as_fragment():
        TABLE.show(PROPERTIES_KEY, loading_table("Properties"))


def _overview(asked: Asker, days: Days, query: HistoryQuery) -> None:
    metric = query_state.value("metric", METRICS[0])
    shown = Overview(
        report=asked.answer("history", query),
        days=days,
        granularity=query.granularity,
        metric=metric if metric in METRICS else METRICS[0],
        timezone=asked.timezone,
        now=asked.now,
        annotations=annotations_of(asked, days),
        can_edit=asked.can_edit,
    )
    OVERVIEW.show(
        OVERVIEW_KEY,
        overview_data(shown),
        metric=lambda key: query_state.put({"metric": None if key == METRICS[0] else str(key)}),
        remove=partial(remove_annotation, asked),
    )


@st.fragment
def _card(asked: Asker, over_time: HistoryQuery, card: Card, filters: Sequence[Filter]) -> None:
    """A tab draws only its own card again; a click on a row the whole page."""
    dimension = card.chosen(query_state.value(card.key))

    def draw() -> Any:
        report = asked.answer("history", _by(over_time, card))
        return TABLE.show(
            f"history_{card.key}",
            table_data(card, dimension, report, filters),
            tab=lambda key: query_state.put({card.key: None if key == card.dimensions[0] else str(key)}),
            every=lambda key: st.session_state.update({_every(card): str(key)}),
            pick=lambda key: put_filters(toggled(chosen_filters(), dimension.key, picked_value(key))),
        )

    said = guarded(draw)
    if said is not None and said.pick is not None:
        st.rerun()


@st.fragment
def _properties(asked: Asker, over_time: HistoryQuery, filters: Sequence[Filter]) -> None:
    """Of the event that the page is filtered by, else of the most frequent one of the site's own."""

    def draw() -> Any:
        event = _event_of(asked, over_time, filters)
        if event is None:
            TABLE.show(PROPERTIES_KEY, properties_data("", NO_PROPERTIES, filters))
            return None
        report = asked.answer("properties", _property_query(over_time, event))
        return TABLE.show(
            PROPERTIES_KEY,
            properties_data(event, report, filters),
            tab=lambda name: query_state.put({"property": str(name)}),
            pick=lambda key: put_filters(toggled(chosen_filters(), f"{PROPERTY}{report.name}", picked_value(key))),
        )

    said = guarded(draw)
    if said is not None and said.pick is not None:
        st.rerun()


def _event_of(asked: Asker, over_time: HistoryQuery, filters: Sequence[Filter]) -> str | None:
    for one in filters:
        if one.dimension == "event":
            return one.value
    events = asked.answer("history", _by(over_time, CARDS[-1])).rows
    return next((str(row[0]) for row in events if row[0] is not None and row[0] not in PASSIVE), None)


def _property_query(over_time: HistoryQuery, event: str) -> PropertyQuery:
    return PropertyQuery(
        from_date=over_time.from_date,
        to_date=over_time.to_date,
        event=event,
        name=query_state.value("property") or None,
        filter=over_time.filter,
        bots=over_time.bots,
    )


NO_PROPERTIES = PropertyReport(names=(), name=None, rows=(), truncated=False)
