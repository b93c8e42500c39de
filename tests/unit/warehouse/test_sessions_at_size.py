"""Sessions are found the same way in many rows as in few: the events of half a million rows, against plain numpy."""

import duckdb
import numpy as np
import pyarrow as pa

from pistats.enrich.session import CAP_MS, GAP_MS
from pistats.warehouse.sessions import SessionPlan, build_sessions

ROWS = 500_000


def test_many_rows_with_several_threads() -> None:
    rng = np.random.default_rng(7)
    visitors = rng.integers(0, 20_000, ROWS)
    times = np.where(visitors < 20, rng.integers(0, 40, ROWS) * 3_600_000 // 2, rng.integers(0, 86_400_000, ROWS))
    times[:60_000] = rng.integers(0, 3 * CAP_MS, 60_000)
    visitors[:60_000] = rng.integers(20_000, 20_030, 60_000)  # these never pause, for three days
    table = pa.table(
        {
            "visitor_id": pa.array([f"v{number}" for number in visitors]),
            "event_time": times,
            "partition": np.zeros(ROWS, np.int32),
            "offset": np.arange(ROWS),
            "event_id": pa.nulls(ROWS, pa.string()),
            "name": pa.array(["page_view"] * ROWS),
            "is_bot": np.zeros(ROWS, np.bool_),
            "bucket": np.zeros(ROWS, np.uint8),
        }
    )

    with duckdb.connect(config={"threads": 4}) as connection:
        connection.register("events", table)
        build_sessions(connection, SessionPlan(event_columns=frozenset({"visitor_id"})))
        found = connection.execute(
            "SELECT count(*), sum(start_time), sum(end_time), sum(events), sum(events * events) FROM sessions"
        ).fetchall()[0]
        apart = connection.execute(
            "SELECT count(*) FROM (SELECT run FROM marked GROUP BY run HAVING count(DISTINCT visitor_id) > 1)"
        ).fetchall()[0][0]

    order = np.lexsort((times, visitors))
    starts = []
    last_visitor, last_time, start = -1, 0, 0
    for at, (visitor, time) in enumerate(zip(visitors[order].tolist(), times[order].tolist(), strict=True)):
        if visitor != last_visitor or time - last_time > GAP_MS or time - start > CAP_MS:
            starts.append(at)
            start = time
        last_visitor, last_time = visitor, time
    ordered = times[order]
    sizes = np.diff([*starts, ROWS])
    ends = [*(np.array(starts[1:]) - 1), ROWS - 1]
    assert found == (len(starts), ordered[starts].sum(), ordered[ends].sum(), ROWS, (sizes * sizes).sum())
    assert apart == 0
