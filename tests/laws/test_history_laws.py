"""History reports agree with the definitions written as plain loops, for arbitrary events."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pistats.reports.history import BY, METRICS, HistoryQuery
from pistats.reports.history_answer import HistoryAnswer
from pistats.warehouse import day_files
from pistats.warehouse.engine import QueryEngine
from pistats.warehouse.measures import DIMENSIONS, Grouping, Measure, measure, present
from pistats.warehouse.periods import SiteDays
from pistats.warehouse.rollup import Unit, add_up, count_unit
from pistats.warehouse.rollup_files import Rollup
from pistats.warehouse.storage import Storage
from tests.plain_history import Event, PlainSession, history
from tests.table_events import TableEvents, TableSource, a_site, an_event, table_of

LAW = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
FROM, TO = "2026-10-24", "2026-10-26"
"""Clocks in Berlin go back on the 25th, and those of Lord Howe went forward on the 4th."""
MIDNIGHT = int(datetime(2026, 10, 25, tzinfo=UTC).timestamp() * 1000)
HOSTILE = ("/", "/a", "'; DROP TABLE events; --", "x' OR '1'='1", "$c0", 'ä\u202e\x00\n"', "{s:1}")
ZONES = ("UTC", "Europe/Berlin", "Asia/Kolkata", "America/New_York")


@st.composite
def events(draw: st.DrawFn) -> list[Event]:
    """Up to 25 events of three visitors within four days, some at the same moment, with gaps around 30 minutes."""
    count = draw(st.integers(0, 25))
    times = st.one_of(
        st.integers(-300, 300).map(lambda step: step * 600_000),
        st.integers(-80, 80).map(lambda step: step * 1_800_000),
        st.integers(0, 30).map(lambda step: step * 7_000),
    )
    text = st.sampled_from(HOSTILE)
    found = []
    for number in range(count):
        name = draw(st.sampled_from(("page_view", "page_view", "engagement", "identify", "buy", *HOSTILE[2:4])))
        fields: dict[str, Any] = {
            "event_time": MIDNIGHT + draw(times),
            "visitor_id": draw(st.sampled_from(("v", "w", HOSTILE[2]))),
            "name": name,
            "path": draw(text | st.none()),
            "channel": draw(st.sampled_from(("Direct", "Search", None))),
            "source": draw(text | st.none()),
            "campaign": draw(text | st.none()),
            "country": draw(st.sampled_from(("IN", "US", None))),
            "device": draw(st.sampled_from(("mobile", None))),
            "browser": draw(text | st.none()),
            "os": draw(text | st.none()),
            "language": draw(text | st.none()),
            "is_bot": draw(st.sampled_from((False, False, False, True))),
        }
        if name == "engagement":
            reported = st.sampled_from((0, 1_500, 2_000.7, -1, 86_400_000, 86_400_001, "12", None))
            fields["properties"] = {"engaged_ms": draw(reported)}
        found.append(an_event(number, **fields))
    return found


@pytest.fixture(scope="module")
def engine() -> Iterator[QueryEngine]:
    engine = QueryEngine(threads=1, niceness=0)
    yield engine
    engine.close()


def same(found: Any, expected: Any) -> bool:
    if isinstance(expected, float):
        return found is not None and abs(found - expected) < 1e-9
    return bool(found == expected)


@LAW
@given(
    there=events(),
    by=st.lists(st.sampled_from(BY), max_size=2, unique=True).map(tuple),
    granularity=st.sampled_from(("hour", "day", "week", "month")),
    bots=st.sampled_from(("exclude", "include", "only")),
    zone=st.sampled_from(ZONES),
    metrics=st.lists(st.sampled_from(METRICS), min_size=1, unique=True).map(tuple),
)
async def test_every_metric_by_every_dimension(
    engine: QueryEngine, there: list[Event], by: tuple[str, ...], granularity: Any, bots: Any, zone: str, metrics: Any
) -> None:
    query = HistoryQuery(
        from_date=date.fromisoformat(FROM),
        to_date=date.fromisoformat(TO),
        metrics=metrics,
        by=by,
        granularity=granularity,
        bots=bots,
    )

    report = await HistoryAnswer(TableSource(there), engine, lambda: 0).of(a_site(zone), query)

    expected = history(there, zone, FROM, TO, by, granularity, bots)
    of_events = bool({"visitors", "views", "events"} & set(metrics))
    of_sessions = bool(set(metrics) - {"visitors", "views", "events"})
    relevant = {
        key: values
        for key, values in expected.items()
        if (of_events and values["events"]) or (of_sessions and values["sessions"])
    }
    if not by:
        relevant = relevant or {(): dict.fromkeys(METRICS, 0)}
    found = {row[: len(by)]: row[len(by) :] for row in report.rows}
    if by or there:
        assert found.keys() == relevant.keys()
    for key, values in relevant.items():
        for name, value in zip(metrics, found[key], strict=True):
            assert same(value, values[name]) or not (values["events"] or values["sessions"]), (key, name)
    total = history(there, zone, FROM, TO, (), granularity, bots).get(())
    for name in metrics:
        if total is not None:
            assert same(report.totals[name], total[name]), name


@LAW
@given(there=events(), by=st.lists(st.sampled_from(BY), max_size=1).map(tuple), zone=st.sampled_from(ZONES))
def test_parts_add_up_to_the_whole(there: list[Event], by: tuple[str, ...], zone: str) -> None:
    days = SiteDays(zone, date.fromisoformat(FROM), date.fromisoformat(TO))
    asked = Measure(days, (Grouping(by, "hour"),))
    answers = []
    for parts in ([(0, 63)], [(low, low + 7) for low in range(0, 64, 8)]):
        with duckdb.connect() as connection:
            TableEvents(table_of(there)).register(connection)
            measure(connection, asked, parts)
            answers.append(present(connection, "sums_0", by, METRICS, 1_000))

    assert answers[0] == answers[1]


def files_of_days(there: list[Event], zone: str, storage: Storage) -> list[Rollup]:
    """The files of each day of the range as a rollup writes them, the middle one counted in two parts."""
    found = []
    for number in range(3):
        day = date.fromisoformat(FROM) + timedelta(days=number)
        parts = ((0, 31), (32, 63)) if number == 1 else ((0, 63),)
        events, days = TableEvents(table_of(there)), SiteDays(zone, day, day)
        counted = add_up(day, [count_unit(Unit(events, days, buckets)) for buckets in parts])
        for name, table in (("sums", counted.sums), ("visitors", counted.visitors)):
            with storage.create(f"{number}-{name}") as file:
                pq.write_table(table, file, row_group_size=7)
        found.append(
            Rollup(
                site="", granularity="day", start=day, sums_path=f"{number}-sums", visitors_path=f"{number}-visitors",
                rows=0, bytes=0, digest="", marks={}, days={}, read_time=0, closes_at=0, run_id="",
            )
        )  # fmt: skip
    return found


def assert_sums(rows: list[dict[str, Any]], expected: dict[tuple[Any, ...], dict[str, Any]], key_of: Any) -> None:
    """Every sum of every row is that of the plain loop."""
    found = {key_of(row): row for row in rows}
    assert found.keys() == expected.keys()
    assert len(rows) == len(found)
    for key, values in expected.items():
        row = found[key]
        assert [row[name] for name in ("visitors", "views", "events", "sessions")] == [
            values[name] for name in ("visitors", "views", "events", "sessions")
        ]
        for name, sum_, unit in (
            ("bounce_rate", "bounces", 1),
            ("visit_duration", "duration_ms", 1_000),
            ("views_per_session", "session_views", 1),
            ("engaged_time", "engaged_ms", 1_000),
        ):
            assert same(row[sum_] / unit, (values[name] or 0) * values["sessions"] * 1.0), (key, name)


@settings(LAW, max_examples=10)
@given(
    there=events(),
    granularity=st.sampled_from(("hour", "day")),
    zone=st.sampled_from(ZONES),
    dense=st.sampled_from((0, day_files.DENSE_PAIRS)),
    part_rows=st.sampled_from((1, 2, day_files.PART_ROWS)),
)
def test_every_dimension_at_once_and_of_days_together(
    tmp_path: Path, there: list[Event], granularity: Any, zone: str, dense: int, part_rows: int
) -> None:
    storage = Storage(str(tmp_path))
    days = files_of_days(there, zone, storage)
    one_day = pa.concat_tables([pq.read_table(tmp_path / day.sums_path) for day in days]).to_pylist()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(day_files, "DENSE_PAIRS", dense)
        patch.setattr(day_files, "PART_ROWS", part_rows)
        together = day_files.sums_of_days(storage, days, "week", 7).to_pylist()

    assert [row["granularity"] for row in together] == ["week"] * len(together)
    site_days = SiteDays(zone, date.fromisoformat(FROM), date.fromisoformat(TO))
    for dimension in ("", *DIMENSIONS):
        by = (dimension,) if dimension else ()
        expected = history(there, zone, FROM, TO, ("time", *by), granularity)
        rows = [row for row in one_day if (row["granularity"], row["dimension"]) == (granularity, dimension)]
        assert_sums(
            rows, expected, lambda row, by=by: (site_days.label(granularity, row["time"]), row["value"])[: 1 + len(by)]
        )

        expected = history(there, zone, FROM, TO, by)
        rows = [row for row in together if row["dimension"] == dimension]
        if expected:
            assert_sums(rows, expected, lambda row, by=by: (row["value"],)[: len(by)])


FILTERS: dict[str, tuple[dict[str, Any], Any]] = {
    "own field": ({"field": "country", "op": "eq", "value": "IN"}, lambda one, _: one["country"] == "IN"),
    "unknown counts as not": (
        {"field": "device", "op": "ne", "value": "mobile"},
        lambda one, _: one["device"] != "mobile",
    ),
    "session": ({"field": "source", "op": "eq", "value": "Direct"}, lambda _, session: session.source == "Direct"),
    "hostile value": (
        {
            "any": [
                {"field": "path", "op": "eq", "value": HOSTILE[2]},
                {"field": "entry_page", "op": "in", "value": list(HOSTILE)},
            ]
        },
        lambda one, session: one["path"] == HOSTILE[2] or session.entry_page in HOSTILE,
    ),
    "none": (
        {"none": [{"field": "name", "op": "eq", "value": "buy"}, {"field": "is_bot", "value": True}]},
        lambda one, _: one["name"] != "buy" and not one["is_bot"],
    ),
    "property": (
        {"field": "properties.engaged_ms", "op": "gte", "value": 1_500},
        lambda one, _: (
            isinstance((one["properties"] or {}).get("engaged_ms"), int | float)
            and one["properties"]["engaged_ms"] >= 1_500
        ),
    ),
}


@LAW
@given(
    there=events(), which=st.sampled_from(sorted(FILTERS)), by=st.sampled_from(((), ("time",), ("event",), ("page",)))
)
async def test_a_filter_picks_events_and_their_sessions(
    engine: QueryEngine, there: list[Event], which: str, by: tuple[str, ...]
) -> None:
    tree, picks = FILTERS[which]
    query = HistoryQuery(
        from_date=date.fromisoformat(FROM), to_date=date.fromisoformat(TO), metrics=METRICS, by=by, filter=tree
    )

    report = await HistoryAnswer(TableSource(there), engine, lambda: 0).of(a_site(), query)

    def picked(one: Event, session: PlainSession) -> bool:
        return bool(picks(one, session))

    for key, values in history(there, "UTC", FROM, TO, by, picks=picked).items():
        [row] = [row for row in report.rows if row[: len(by)] == key]
        for name, value in zip(METRICS, row[len(by) :], strict=True):
            assert same(value, values[name]), (key, name)
