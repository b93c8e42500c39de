"""The columns of an enriched event, and chunks: the events of one flush as one compressed Arrow record batch.

A chunk is what waits in the outbox (`chunks` in MongoDB) until it is archived. It holds no schema: with 42 columns that
would be most of a small chunk. `schema` in its document says which version of `EVENT_SCHEMA` it was written with.
"""

from collections.abc import Sequence
from operator import itemgetter
from typing import Any

import orjson
import pyarrow as pa
import zstandard

from pistats.enrich.event import FIELDS, EnrichedEvent

SCHEMA_VERSION = 1
"""Of `EVENT_SCHEMA`. Raise it when a column comes, goes or changes its type, and keep the old one in `SCHEMAS`."""

MAX_CHUNK_BYTES = 256_000_000
"""Decompressed. A flush holds some 8 MB of events: more than this is no chunk of ours."""

_TYPES = {
    "partition": pa.int32(),
    "offset": pa.int64(),
    "time": pa.int64(),
    "sent_at": pa.int64(),
    "received_time": pa.int64(),
    "event_time": pa.int64(),
    "is_bot": pa.bool_(),
}

EVENT_SCHEMA = pa.schema([pa.field(name, _TYPES.get(name, pa.string())) for name in FIELDS])
"""One column per field of an enriched event, in the order of `FIELDS`. Times are Unix ms UTC; `properties` is a JSON
object as text; everything may be null. The same columns are in the Parquet files of the warehouse."""

_row = itemgetter(*FIELDS)
_PROPERTIES = FIELDS.index("properties")

SCHEMAS = {SCHEMA_VERSION: EVENT_SCHEMA}
"""Every version that a stored chunk may have."""


def events_to_batch(events: Sequence[EnrichedEvent]) -> pa.RecordBatch:
    """The events as columns of `EVENT_SCHEMA`, in order. Raises pa.ArrowInvalid or OverflowError for a wrong value."""
    columns: list[Sequence[Any]] = list(zip(*map(_row, events), strict=True)) or [()] * len(FIELDS)
    columns[_PROPERTIES] = [orjson.dumps(value).decode() if value else None for value in columns[_PROPERTIES]]
    arrays = [pa.array(values, type_) for values, type_ in zip(columns, EVENT_SCHEMA.types, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=EVENT_SCHEMA)


def encode_chunk(batch: pa.RecordBatch) -> bytes:
    """The bytes that `decode_chunk` turns into the same batch; some 75 bytes an event (1,000 page views, zstd 1)."""
    return zstandard.ZstdCompressor(level=1).compress(memoryview(batch.serialize()))


def decode_chunk(data: bytes, schema: int = SCHEMA_VERSION) -> pa.RecordBatch:
    """The batch of a chunk that was written with this version of the schema."""
    plain = zstandard.ZstdDecompressor().decompress(data, max_output_size=MAX_CHUNK_BYTES)
    return pa.ipc.read_record_batch(pa.py_buffer(plain), SCHEMAS[schema])
