"""The Parquet files of events: their columns, their order, and how an event id becomes 16 bytes and text again.

A file holds one site, one UTC date and a range of buckets, sorted by (bucket, visitor_id, event_time, offset). A row
group holds whole buckets where they are small, so that whoever wants one bucket, or one visitor, skips the others.
"""

from binascii import unhexlify
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pistats.identity import bucket_of
from pistats.warehouse.chunk import EVENT_SCHEMA
from pistats.warehouse.storage import Storage

ROW_GROUP_ROWS = 100_000
"""Most rows of a row group: some 4 MB of file, 70 MB in memory. Bigger ones compress no better and prune worse."""

CURSOR_ROWS = 8_192
"""Decoded at a time by whoever reads a file from its beginning to its end: some 6 MB."""

COMPRESSION_LEVEL = 6
"""Of zstd. 42.7 bytes an event at 760,000 events/s; level 3 43.9 at 1,070,000, level 9 some 41.8 at half of that."""

SORTED_BY = ("bucket", "visitor_id", "event_time", "offset")

DELTAS = ("offset", "time", "sent_at", "received_time", "event_time")
"""Numbers that differ little from row to row: as deltas they take 2 to 3 bytes instead of 5 (measured)."""

FILE_SCHEMA = pa.schema(
    [
        *EVENT_SCHEMA,
        pa.field("event_uuid", pa.uuid()),
        pa.field("event_form", pa.uint8()),
        pa.field("bucket", pa.uint8()),
    ]
)
"""`EVENT_SCHEMA` and what files add. An event id is in `event_uuid` if `event_form` is above 0, else in `event_id`."""

_HEX = "[0-9a-f]"
_FORMS = {
    1: f"{_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}}",
    2: f"{_HEX}{{32}}",
}
_FORMS |= {form + 2: pattern.replace("a-f", "A-F") for form, pattern in _FORMS.items()}
"""How the 16 bytes were written: 1 UUID, 2 without dashes, 3 and 4 the same in capitals. 0: not 16 bytes."""

EVENT_ID_SQL = """CASE event_form
    WHEN 1 THEN CAST(event_uuid AS VARCHAR)
    WHEN 2 THEN replace(CAST(event_uuid AS VARCHAR), '-', '')
    WHEN 3 THEN upper(CAST(event_uuid AS VARCHAR))
    WHEN 4 THEN upper(replace(CAST(event_uuid AS VARCHAR), '-', ''))
    ELSE event_id END"""
"""The event id exactly as it was sent, for DuckDB."""


def with_buckets(events: pa.Table | pa.RecordBatch) -> Any:
    """The events with their visitors' `bucket` as a last column; of the kind that was given."""
    return events.append_column("bucket", _buckets(events.column("site"), events.column("visitor_id")))


def _buckets(sites: Any, visitors: Any) -> pa.Array:
    pairs = pa.table({"site": sites, "visitor_id": visitors}).combine_chunks()
    codes = {name: pairs[name].combine_chunks().dictionary_encode() for name in pairs.column_names}
    if pairs.num_rows == 0:
        return pa.array([], pa.uint8())
    names = codes["visitor_id"].dictionary.to_pylist()
    result = np.zeros(pairs.num_rows, np.uint8)
    site_codes = codes["site"].indices.to_numpy()
    visitor_codes = codes["visitor_id"].indices.to_numpy()
    for code, site in enumerate(codes["site"].dictionary.to_pylist()):
        rows = site_codes == code
        of_site = np.zeros(len(names), np.uint8)
        for number in np.unique(visitor_codes[rows]):
            of_site[number] = bucket_of(site, names[number])
        result[rows] = of_site[visitor_codes[rows]]
    return pa.array(result)


def to_file_rows(events: pa.Table) -> pa.Table:
    """Events (columns of `EVENT_SCHEMA`, in any order of rows) as rows of files: `FILE_SCHEMA`, sorted."""
    rows = with_buckets(events)
    text, uuids, forms = _split_ids(rows["event_id"].combine_chunks())
    rows = rows.set_column(rows.schema.get_field_index("event_id"), "event_id", text)
    rows = rows.append_column("event_uuid", uuids).append_column("event_form", forms)
    return sort_rows(rows.select(FILE_SCHEMA.names).cast(FILE_SCHEMA))


def sort_rows(rows: pa.Table) -> pa.Table:
    """Rows of `FILE_SCHEMA` in the order of a file."""
    keys = rows.select(list(SORTED_BY))
    return rows.take(pc.sort_indices(keys, sort_keys=[(name, "ascending") for name in SORTED_BY]))


def _split_ids(ids: pa.StringArray) -> tuple[pa.Array, pa.Array, pa.Array]:
    """(text or null, UUID or null, form): each id is in exactly one of the first two."""
    forms = np.zeros(len(ids), np.uint8)
    for form, pattern in reversed(_FORMS.items()):
        forms[pc.fill_null(pc.match_substring_regex(ids, rf"\A{pattern}\z"), False).to_numpy(zero_copy_only=False)] = (
            form
        )
    compact = forms > 0
    digits = pc.replace_substring(ids.filter(pa.array(compact)), "-", "")
    values = np.zeros((len(ids), 16), np.uint8)
    raw = unhexlify("".join(digits.to_pylist()))
    values[compact] = np.frombuffer(raw, np.uint8).reshape(-1, 16)
    mask = pa.array(compact)
    stored = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(16), len(ids), [mask.buffers()[1], pa.py_buffer(values.tobytes())]
    )
    text = pc.if_else(mask, pa.scalar(None, pa.string()), ids)
    return text, pa.ExtensionArray.from_storage(pa.uuid(), stored), pa.array(forms)


def write_rows(storage: Storage, path: str, parts: Iterable[pa.Table]) -> int:
    """Write a file from sorted rows, durably; its size in bytes. Each part follows the one before in the order.

    Parts are written as they come, so that a large file needs no more memory than its largest part.
    """
    with (
        storage.create(path) as stream,
        pq.ParquetWriter(
            stream,
            FILE_SCHEMA,
            compression="zstd",
            compression_level=COMPRESSION_LEVEL,
            use_dictionary=[name for name in FILE_SCHEMA.names if name not in (*DELTAS, "event_uuid")],
            column_encoding=dict.fromkeys(DELTAS, "DELTA_BINARY_PACKED"),
            sorting_columns=[pq.SortingColumn(FILE_SCHEMA.get_field_index(name)) for name in SORTED_BY],
            # Without the Arrow schema in the footer, which says nothing that the Parquet types don't.
            store_schema=False,
        ) as writer,
    ):
        for part in parts:
            for group in _row_groups(part):
                writer.write_table(group, row_group_size=ROW_GROUP_ROWS)
    return storage.size(path)


def _row_groups(rows: pa.Table) -> Iterator[pa.Table]:
    """The rows cut into row groups: several buckets together only as long as they stay small."""
    if rows.num_rows == 0:
        return
    buckets = rows["bucket"].to_numpy()
    ends = [*np.flatnonzero(np.diff(buckets)) + 1, len(buckets)]
    start = previous = 0
    for end in ends:
        if end - start > ROW_GROUP_ROWS and previous > start:
            yield rows.slice(start, previous - start)
            start = previous
        previous = end
    yield rows.slice(start)


def read_rows(
    storage: Storage, path: str, buckets: tuple[int, int] | None = None, columns: Sequence[str] | None = None
) -> pa.Table:
    """The rows of a file as they are stored, of all buckets or of `lo … hi`; other row groups are not read.

    `columns`: only these, and `bucket`; None: all. Raises FileNotFoundError.
    """
    with storage.open(path) as stream:
        file = pq.ParquetFile(stream)
        wanted = None if columns is None else [*columns, "bucket"]
        if buckets is None:
            return file.read(wanted)
        groups = [group for group in range(file.num_row_groups) if _holds(file.metadata.row_group(group), buckets)]
        rows = file.read_row_groups(groups, wanted)
    lo, hi = buckets
    return rows.filter(pc.and_(pc.greater_equal(rows["bucket"], lo), pc.less_equal(rows["bucket"], hi)))


class FileCursor:
    """Reads a file once from its beginning to its end, bucket by bucket; holds a few thousand rows at a time."""

    def __init__(self, storage: Storage, path: str) -> None:
        self._batches = self._read(storage, path)
        self._rest: pa.Table = FILE_SCHEMA.empty_table()

    def up_to(self, bucket: int) -> pa.Table:
        """The next rows, as far as their bucket is at most this one. Raises FileNotFoundError."""
        parts = [self._rest]
        while parts[-1].num_rows == 0 or parts[-1]["bucket"][-1].as_py() <= bucket:
            batch = next(self._batches, None)
            if batch is None:
                break
            parts.append(batch)
        last = parts[-1]
        end = int(np.searchsorted(last["bucket"].to_numpy(), bucket, side="right"))
        self._rest = last.slice(end)
        return pa.concat_tables([*parts[:-1], last.slice(0, end)])

    @staticmethod
    def _read(storage: Storage, path: str) -> Iterator[pa.Table]:
        with storage.open(path) as stream:
            file = pq.ParquetFile(stream)
            for group in range(file.num_row_groups):  # one by one: else what was read of earlier ones is kept
                for batch in file.iter_batches(CURSOR_ROWS, row_groups=[group]):
                    yield pa.Table.from_batches([batch])


BUCKET_COLUMN = FILE_SCHEMA.get_field_index("bucket")


def _holds(group: pq.RowGroupMetaData, buckets: tuple[int, int]) -> bool:
    statistics = group.column(BUCKET_COLUMN).statistics
    return statistics is None or (statistics.min <= buckets[1] and statistics.max >= buckets[0])
