"""The visitors of a retention cell: as many as the grid counts, for every cell and mode."""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pistats.errors import QueryError
from pistats.reports.retention import RetentionAnswer, RetentionQuery
from pistats.reports.retention_visitors import CellAnswer, CellQuery
from pistats.warehouse.engine import QueryEngine
from tests.table_events import TableSource, a_site, an_event

DAY_MS = 86_400_000
FIRST = date(1970, 1, 5)


@pytest.fixture(scope="module")
def engine() -> Iterator[QueryEngine]:
    engine = QueryEngine(threads=1, concurrent=1)
    yield engine
    engine.close()


def seen(number: int, visitor: str, day: int, **fields: Any) -> dict[str, Any]:
    return an_event(number, visitor_id=visitor, event_time=(4 + day) * DAY_MS + number, **fields)


visits = st.lists(
    st.tuples(st.sampled_from("abcd"), st.integers(-2, 6), st.sampled_from(["page_view", "buy"]), st.booleans()),
    max_size=20,
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    visits,
    st.sampled_from(["first", "recurring"]),
    st.sampled_from(["on", "on_or_after"]),
    st.sampled_from([None, "buy"]),
    st.sampled_from(["day", "week"]),
)
async def test_a_cell_lists_as_many_as_the_grid_counts(
    engine: QueryEngine, visits: list[Any], mode: Any, returns: Any, event: str | None, granularity: Any
) -> None:
    events = [seen(n, who, day, name=name, is_bot=bot) for n, (who, day, name, bot) in enumerate(visits)]
    source = TableSource(events)
    grid = RetentionQuery(
        from_date=FIRST,
        to_date=FIRST + timedelta(days=6),
        granularity=granularity,
        mode=mode,
        returns=returns,
        return_event=event,
    )
    report = await RetentionAnswer(source, engine, lambda: 60 * DAY_MS).of(a_site(), grid)
    for cohort in report.cohorts:
        for n, returned in enumerate(cohort.returned):
            found = await CellAnswer(source, engine).of(a_site(), CellQuery(grid, cohort.start, n))
            assert found.total == returned == len(found.visitors)


async def test_the_latest_come_first_and_the_list_is_bounded(engine: QueryEngine) -> None:
    source = TableSource([seen(1, "a", 0), seen(2, "b", 0), seen(3, "a", 1), seen(4, "b", 2)])
    grid = RetentionQuery(from_date=FIRST, to_date=FIRST + timedelta(days=2))
    found = await CellAnswer(source, engine).of(a_site(), CellQuery(grid, FIRST, 0, limit=1))
    assert found.visitors == (("b", 6 * DAY_MS + 4),)
    assert found.total == 2


@pytest.mark.parametrize(("start", "n"), [(FIRST - timedelta(days=1), 0), (FIRST, 3), (FIRST, -1)])
async def test_what_is_no_cell_is_refused(engine: QueryEngine, start: date, n: int) -> None:
    grid = RetentionQuery(from_date=FIRST, to_date=FIRST + timedelta(days=2))
    with pytest.raises(QueryError, match="no such cell"):
        await CellAnswer(TableSource([]), engine).of(a_site(), CellQuery(grid, start, n))
