"""The events that meet a condition, as a relation for a statement's FROM."""

from collections.abc import Iterable

from pistats.warehouse.condition import SESSION_FIELDS, Condition
from pistats.warehouse.engine import Connection
from pistats.warehouse.sessions import SessionPlan, build_sessions

KEYS = ("visitor_id", "event_time", "partition", "offset", "event_id")
"""Tell two events apart."""


def prepare_sessions(connection: Connection, conditions: Iterable[Condition | None]) -> bool:
    """Build the sessions of the view `events` when a condition asks for them; False: none does."""
    needed = any(condition is not None and condition.needs_session for condition in conditions)
    if needed:
        build_sessions(connection, SessionPlan(event_columns=frozenset(KEYS), attributes=frozenset(SESSION_FIELDS)))
    return needed


def events_sql(condition: Condition | None) -> str:
    """A relation with the columns of `events`. The statement needs the condition's parameters.

    For a condition on sessions, `prepare_sessions` comes first; bots have no sessions.
    """
    if condition is None:
        return "events"
    if not condition.needs_session:
        return f"(SELECT e.* FROM events AS e WHERE {condition.sql})"
    same = " AND ".join(f'e."{key}" = m."{key}"' for key in KEYS)
    return f"""(SELECT e.* FROM events AS e LEFT JOIN marked AS m ON {same}
                LEFT JOIN sessions AS s ON m.run = s.run WHERE {condition.sql})"""


def parameters_of(*conditions: Condition | None) -> dict[str, object]:
    """The parameters of several conditions, for one statement."""
    return {name: value for one in conditions if one is not None for name, value in one.parameters.items()}
