"""The properties that come with an event: which there are, and the values of one."""

from dataclasses import dataclass
from datetime import date
from typing import Any

from pistats.errors import QueryError
from pistats.reports.history import Bots, check_range
from pistats.sites import Site
from pistats.warehouse.condition import SESSION_FIELDS, Condition, compile_condition, is_text
from pistats.warehouse.engine import Connection, QueryEngine, Source
from pistats.warehouse.periods import SiteDays
from pistats.warehouse.sessions import BOTS_SQL, MARGIN_MS, SessionPlan, build_sessions

MAX_NAMES = 50
MAX_VALUES = 100
MAX_NAME_CHARS = 256
MAX_EVENT_CHARS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class PropertyQuery:
    """Events called `event` of a range of days in the site's zone; `name`: the property to break down, None: the first.

    Properties in properties are not looked into: their value is the JSON text.
    """

    from_date: date
    to_date: date
    event: str
    name: str | None = None
    filter: dict[str, Any] | None = None
    bots: Bots = "exclude"

    def __post_init__(self) -> None:
        check_range(self.from_date, self.to_date)
        if not self.event or not is_text(self.event, MAX_EVENT_CHARS):
            raise QueryError("`event` is the name of an event.")
        if self.name is not None and (not self.name or not is_text(self.name, MAX_NAME_CHARS)):
            raise QueryError(f"`name` is the name of a property: 1 to {MAX_NAME_CHARS} characters.")


@dataclass(frozen=True, slots=True, kw_only=True)
class PropertyReport:
    """`names`: the most frequent first. `rows` of property `name`: value, events, visitors; None: sent without it.

    `name` is None when the events have no property.
    """

    names: tuple[str, ...]
    name: str | None
    rows: tuple[tuple[str | None, int, int], ...]
    truncated: bool


class PropertiesAnswer:
    """Answers questions about properties of any site."""

    def __init__(self, source: Source, engine: QueryEngine) -> None:
        self._source = source
        self._engine = engine

    async def of(self, site: Site, query: PropertyQuery) -> PropertyReport:
        """The report; see `PropertyReport`. Reads only, so it may be repeated."""
        condition = None if query.filter is None else compile_condition(query.filter)
        days = SiteDays(site.timezone, query.from_date, query.to_date)
        margin = MARGIN_MS if condition is not None and condition.needs_session else 0
        events = await self._source.events(site.name, days.from_ms - margin, days.to_ms + margin)
        return await self._engine.call(events, lambda connection: _report(connection, query, days, condition))


def _report(
    connection: Connection, query: PropertyQuery, days: SiteDays, condition: Condition | None
) -> PropertyReport:
    _pick(connection, query, days, condition)
    names = tuple(str(row[0]) for row in connection.execute(NAMES_SQL).fetchall())
    name = query.name if query.name in names else next(iter(names), None)
    if name is None:
        return PropertyReport(names=(), name=None, rows=(), truncated=False)
    pointer = "/" + name.replace("~", "~0").replace("/", "~1")
    rows = connection.execute(VALUES_SQL, {"pointer": pointer}).fetchall()
    return PropertyReport(names=names, name=name, rows=tuple(rows[:MAX_VALUES]), truncated=len(rows) > MAX_VALUES)


def _pick(connection: Connection, query: PropertyQuery, days: SiteDays, condition: Condition | None) -> None:
    """Make the table `picked`: visitor and properties of every event that counts."""
    source, where = "events AS e", "true"
    if condition is not None:
        where = condition.sql
        if condition.needs_session:
            columns = frozenset({"visitor_id", "properties", "is_bot", *condition.event_columns})
            build_sessions(connection, SessionPlan(query.bots, columns, frozenset(SESSION_FIELDS)))
            source = "marked AS e LEFT JOIN sessions AS s ON e.run = s.run"
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE picked AS SELECT e.visitor_id, e.properties FROM {source}
            WHERE e.name = $event AND {days.within_sql("e.event_time")}
              AND {BOTS_SQL[query.bots]} AND {where}""",
        {"event": query.event, **(condition.parameters if condition else {})},
    )


NAMES_SQL = f"""
    SELECT name FROM (SELECT unnest(json_keys(properties)) AS name FROM picked WHERE properties IS NOT NULL)
    GROUP BY name ORDER BY count(*) DESC, name LIMIT {MAX_NAMES}"""

VALUES_SQL = f"""
    SELECT json_extract_string(properties, $pointer) AS value, count(*), count(DISTINCT visitor_id)
    FROM picked GROUP BY value ORDER BY count(*) DESC, value NULLS LAST LIMIT {MAX_VALUES + 1}"""
