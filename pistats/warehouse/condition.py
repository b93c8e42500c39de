"""A condition on events: the JSON tree that a client sends, checked against a list of fields, as SQL with parameters.

    {"all": [{"field": "country", "op": "in", "value": ["IN", "US"]},
             {"none": [{"field": "properties.plan", "op": "eq", "value": "free"}]}]}

Client text never becomes SQL: fields come from a list, values and names of properties are parameters. `ne` and `not_in`
are the opposite of `eq` and `in`, so they hold for unknown values. Custom properties are compared as numbers with a
number, else as text.
"""

from dataclasses import dataclass
from typing import Any

from pistats.errors import QueryError

SESSION_FIELDS = ("entry_page", "exit_page", "source", "medium", "campaign", "channel")
"""Of the event's session, not of the event: the source is that of the session's first arrival."""

DIRECT = "Direct"
"""The channel of an arrival from nowhere known, and its source as it is shown."""

TEXT_FIELDS = (
    "name",
    "event_id",
    "visitor_id",
    "user_id",
    "url",
    "host",
    "path",
    "section",
    "title",
    "referrer",
    "term",
    "content",
    "search_term",
    "user_agent",
    "bot_name",
    "browser",
    "browser_version",
    "os",
    "os_version",
    "device",
    "country",
    "region",
    "city",
    "language",
    "screen",
)
NUMBER_FIELDS = ("event_time", "received_time")
"""Unix milliseconds."""

ALIASES = {
    "page": "path",
    "event": "name",
    "utm_source": "source",
    "utm_medium": "medium",
    "utm_campaign": "campaign",
    "utm_term": "term",
    "utm_content": "content",
}
PROPERTIES = "properties."

COMPARISONS = {"lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
SEARCHES = {"starts_with": "starts_with", "ends_with": "ends_with", "contains": "contains"}
OPS = ("eq", "ne", "in", "not_in", *COMPARISONS, *SEARCHES, "exists")

MAX_DEPTH = 8
MAX_NODES = 200
MAX_VALUES = 1_000
MAX_TEXT_CHARS = 2_048
"""Bounds of one tree: more is no question that a person asks."""

MAX_NUMBER = 2**63 - 1
"""Of a value: what a BIGINT holds. It leaves out infinity, and what is no number."""

Scalar = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition as SQL over `e` (an event) and `s` (its session), never NULL; and what it reads."""

    sql: str
    parameters: dict[str, Any]
    event_columns: frozenset[str]
    needs_session: bool


def compile_condition(tree: Any, prefix: str = "c") -> Condition:
    """The condition of a tree. Raises QueryError, naming the place and what may stand there.

    Parameters are called `prefix` and a number: conditions of one statement need prefixes of their own.
    """
    compiler = _Compiler(prefix)
    sql = compiler.node(tree, "filter", 1)
    return Condition(sql, compiler.parameters, frozenset(compiler.columns), compiler.needs_session)


class _Compiler:
    """Walks one tree and gathers parameters and columns on the way."""

    def __init__(self, prefix: str) -> None:
        self.parameters: dict[str, Any] = {}
        self.columns: set[str] = set()
        self.needs_session = False
        self._prefix = prefix
        self._nodes = 0

    def node(self, tree: Any, where: str, depth: int) -> str:
        self._nodes += 1
        if depth > MAX_DEPTH or self._nodes > MAX_NODES:
            raise QueryError(f"{where}: the condition is too large; {MAX_DEPTH} levels and {MAX_NODES} parts at most.")
        if not isinstance(tree, dict):
            raise QueryError(f"{where}: expected an object with `all`, `any`, `none` or `field`.")
        for group in ("all", "any", "none"):
            if group in tree:
                return self._group(group, tree, where, depth)
        if "field" not in tree:
            raise QueryError(f"{where}: expected `all`, `any`, `none` or `field`; this has {_keys(tree)}.")
        return self._leaf(tree, where)

    def _group(self, group: str, tree: dict[str, Any], where: str, depth: int) -> str:
        members = tree[group]
        if len(tree) > 1:
            raise QueryError(f"{where}: `{group}` stands alone in its object; this has {_keys(tree)}.")
        if not isinstance(members, list):
            raise QueryError(f"{where}.{group}: expected a list of conditions.")
        parts = [self.node(one, f"{where}.{group}[{at}]", depth + 1) for at, one in enumerate(members)]
        if group == "all":
            return f"({' AND '.join(parts)})" if parts else "true"
        joined = f"({' OR '.join(parts)})" if parts else "false"
        return f"(NOT {joined})" if group == "none" else joined

    def _leaf(self, tree: dict[str, Any], where: str) -> str:
        if extra := tree.keys() - {"field", "op", "value"}:
            raise QueryError(f"{where}: a field has `op` and `value`; this has {_keys(extra)} as well.")
        field, op, value = tree["field"], tree.get("op", "eq"), tree.get("value")
        if op not in OPS:
            raise QueryError(f"{where}.op: {str(op)[:40]!r} is unknown; use {', '.join(OPS)}.")
        if not isinstance(field, str) or not is_text(field, MAX_TEXT_CHARS):
            raise QueryError(f"{where}.field: expected the name of a field.")
        if field.startswith(PROPERTIES) and len(field) > len(PROPERTIES):
            return self._property(field.removeprefix(PROPERTIES), op, value, where)
        return self._field(ALIASES.get(field, field), op, value, where)

    def _field(self, field: str, op: str, value: Any, where: str) -> str:
        if field in SESSION_FIELDS:
            self.needs_session = True
            column, number = _session_sql(field), False
        elif field in TEXT_FIELDS or field in NUMBER_FIELDS:
            self.columns.add(field)
            column, number = f'e."{field}"', field in NUMBER_FIELDS
        elif field == "is_bot":
            self.columns.add(field)
            return self._bot(op, value, where)
        else:
            known = ", ".join((*TEXT_FIELDS, *SESSION_FIELDS, *NUMBER_FIELDS, "is_bot", "properties.NAME"))
            raise QueryError(f"{where}.field: {field[:40]!r} is unknown; use one of {known}.")
        for one in _values(op, value, where):
            if isinstance(one, bool) or isinstance(one, str) == number:
                raise QueryError(f"{where}.value: {field} is {'a number (Unix ms)' if number else 'text'}.")
        return self._operation(column, op, value)

    def _bot(self, op: str, value: Any, where: str) -> str:
        if op not in ("eq", "ne") or not isinstance(value, bool):
            raise QueryError(f"{where}: is_bot takes `eq` or `ne` with true or false.")
        return f"(e.is_bot = {str(value == (op == 'eq')).lower()})"

    def _property(self, name: str, op: str, value: Any, where: str) -> str:
        self.columns.add("properties")
        pointer = self._parameter("/" + name.replace("~", "~0").replace("/", "~1"))
        text = f"json_extract_string(e.properties, {pointer})"
        values = _values(op, value, where)
        if values and all(isinstance(one, int | float) and not isinstance(one, bool) for one in values):
            return self._operation(f"TRY_CAST({text} AS DOUBLE)", op, value)
        if isinstance(value, list):
            return self._operation(text, op, [_text(one) for one in value])
        return self._operation(text, op, value if op == "exists" else _text(value))

    def _operation(self, column: str, op: str, value: Any) -> str:
        if op == "exists":
            return f"({column} IS {'NOT NULL' if value in (None, True) else 'NULL'})"
        if op in ("in", "not_in"):
            found = f"coalesce(list_contains({self._parameter(value)}, {column}), false)" if value else "false"
            return found if op == "in" else f"(NOT {found})"
        given = self._parameter(value)
        if op in SEARCHES:
            return f"coalesce({SEARCHES[op]}({column}, {given}), false)"
        if op == "ne":
            return f"({column} IS DISTINCT FROM {given})"
        sign = "=" if op == "eq" else COMPARISONS[op]
        return f"coalesce({column} {sign} {given}, false)"

    def _parameter(self, value: Any) -> str:
        name = f"{self._prefix}{len(self.parameters)}"
        self.parameters[name] = value
        return f"${name}"


def _values(op: str, value: Any, where: str) -> list[Scalar]:
    """The values to compare with, checked. None for `exists`."""
    if op == "exists":
        if value not in (None, True, False):
            raise QueryError(f"{where}.value: `exists` takes true (the default) or false.")
        return []
    if op in ("in", "not_in"):
        if not isinstance(value, list) or len(value) > MAX_VALUES:
            raise QueryError(f"{where}.value: `{op}` takes a list of at most {MAX_VALUES:,} values.")
        values = value
    else:
        values = [value]
    for one in values:
        if not _can_be_compared(one):
            raise QueryError(f"{where}.value: expected text (up to {MAX_TEXT_CHARS:,} characters) or a number.")
        if op in SEARCHES and not isinstance(one, str):
            raise QueryError(f"{where}.value: `{op}` takes text.")
    return values


def _can_be_compared(value: Any) -> bool:
    if isinstance(value, str):
        return is_text(value, MAX_TEXT_CHARS)
    return isinstance(value, int | float) and abs(value) <= MAX_NUMBER


def is_text(value: str, max_chars: int) -> bool:
    """True when DuckDB can take it as text: not too long, and no half of a surrogate pair."""
    return len(value) <= max_chars and not any("\ud800" <= char <= "\udfff" for char in value)


def _session_sql(field: str) -> str:
    return source_sql("s.") if field == "source" else f's."{field}"'


def source_sql(prefix: str = "") -> str:
    """The source as it is shown: an arrival from nowhere known is called Direct, as on the live page.

    `prefix`: what stands before the names of the columns `source` and `channel`.
    """
    return f"coalesce({prefix}source, CASE WHEN {prefix}channel = '{DIRECT}' THEN '{DIRECT}' END)"


def _text(value: Scalar) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _keys(tree: Any) -> str:
    return ", ".join(sorted(str(key)[:40] for key in tree)) or "nothing"
