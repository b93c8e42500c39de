"""The steps of `pistats.enrich.STEPS` on columns: each step runs once per distinct value of what it reads.

An access log of a day has a few hundred user agents and a few thousand URLs. `READS` says which fields a step reads
and writes; a test holds it to what the steps do, so that a new step cannot be forgotten here.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from pistats.backfill.rows import BadLine, Rows
from pistats.enrich.event import FIELDS
from pistats.enrich.steps import STEPS, EnrichContext
from pistats.warehouse.chunk import EVENT_SCHEMA

IMPORTED = -1
"""The `partition` of events that came by no stream. Their `offset` is the number of their line."""

READS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "event_time": (("received_time", "time", "sent_at"), ("event_time",)),
    "bot": (("user_agent",), ("is_bot", "bot_name")),
    "browser": (("user_agent",), ("browser", "browser_version", "os", "os_version", "device")),
    "place": (("ip",), ("country", "region", "city")),
    "page": (("url", "section"), ("host", "path", "section")),
    "source": (("url", "referrer"), ("source", "medium", "campaign", "term", "content", "channel", "search_term")),
    "language": (("language",), ("language",)),
}
"""What each step reads and writes. `section` stands for the one in the properties, which is all it reads of them."""

_BLANK: dict[str, Any] = dict.fromkeys(FIELDS)


def enrich_rows(
    rows: Rows, site: str, visitors: Sequence[str], ips: Sequence[str | None], context: EnrichContext
) -> pa.Table:
    """The enriched events, columns of `EVENT_SCHEMA`. Events that a step fails on become bad lines of `rows`.

    `visitors`, `ips`: of each event; the address as it is stored. `session_id` and the pages of sessions stay null:
    the warehouse makes sessions when it is read.
    """
    count = len(rows)
    known: dict[str, Sequence[Any]] = {
        **rows.client,
        "time": rows.time,
        "received_time": rows.received_time,
        "section": rows.section,
        "visitor_id": visitors,
        "ip": ips,
    }
    columns: dict[str, pa.Array] = {
        "site": pa.repeat(site, count),
        "partition": pa.repeat(pa.scalar(IMPORTED, pa.int32()), count),
        "offset": pa.array(rows.numbers, pa.int64()),
        "properties": pa.array(rows.properties, pa.string()),
    }
    given = {name: pa.array(values, EVENT_SCHEMA.field(name).type) for name, values in known.items()}
    failed: dict[int, str] = {}
    for name, step in STEPS:
        inputs, outputs = READS[name]
        firsts, codes = _distinct([given[field] for field in inputs if field in given], count)
        results: dict[str, list[Any]] = {output: [] for output in outputs}
        for code, row in enumerate(firsts):
            event = _event(inputs, [known[field][row] if field in known else None for field in inputs])
            try:
                step(event, context)
            except Exception as error:
                reason = f"step {name} failed: {type(error).__name__}: {error}"
                failed |= dict.fromkeys(np.flatnonzero(codes == code).tolist(), reason)
                event = _BLANK
            for output, column in results.items():
                column.append(event[output])
        indices = pa.array(codes)
        for output, column in results.items():
            columns[output] = pa.array(column, EVENT_SCHEMA.field(output).type).take(indices)
    columns = given | columns
    table = pa.table(
        {
            field.name: columns[field.name] if field.name in columns else pa.nulls(count, field.type)
            for field in EVENT_SCHEMA
        },
        schema=EVENT_SCHEMA,
    )
    return _without(table, rows, failed)


def _distinct(columns: Sequence[pa.Array], count: int) -> tuple[list[int], np.ndarray[Any, np.dtype[np.int64]]]:
    """For each distinct combination of values a row that has it, and for each row the number of its combination."""
    codes = np.zeros(count, np.int64)
    for column in columns:
        encoded = column.dictionary_encode(null_encoding="encode")
        _, codes = np.unique(codes * max(1, len(encoded.dictionary)) + encoded.indices.to_numpy(), return_inverse=True)
    _, firsts = np.unique(codes, return_index=True)
    return firsts.tolist(), codes


def _event(inputs: tuple[str, ...], values: Sequence[Any]) -> dict[str, Any]:
    """An event of which only these fields are known."""
    event = {**_BLANK, **dict(zip(inputs, values, strict=True))}
    if "section" in inputs:
        event["properties"] = {"section": event["section"]}
    return event


def _without(table: pa.Table, rows: Rows, failed: dict[int, str]) -> pa.Table:
    if not failed:
        return table
    rows.bad.extend(BadLine(rows.numbers[row], reason) for row, reason in sorted(failed.items()))
    kept = pa.array([row not in failed for row in range(len(rows))])
    return table.filter(kept)
