"""A chunk gives back what was put in, column by column."""

from typing import Any

import pyarrow as pa
import pytest

from pistats.enrich.event import FIELDS
from pistats.warehouse.chunk import EVENT_SCHEMA, decode_chunk, encode_chunk, events_to_batch


def an_event(**fields: Any) -> dict[str, Any]:
    return {**dict.fromkeys(FIELDS), **fields}


def test_every_field_comes_back() -> None:
    events = [
        an_event(site="a", offset=2**40, event_time=1, is_bot=True, title="ä \u202e <b>", properties={"n": [1, None]}),
        an_event(site="b", partition=1, is_bot=False, properties={}),
    ]

    batch = decode_chunk(encode_chunk(events_to_batch(events)))

    assert batch.schema == EVENT_SCHEMA
    first, second = batch.to_pylist()
    assert first == {**events[0], "properties": '{"n":[1,null]}'}
    assert second == {**events[1], "properties": None}


def test_no_event_is_an_empty_chunk() -> None:
    assert decode_chunk(encode_chunk(events_to_batch([]))).num_rows == 0


def test_a_wrong_value_is_refused() -> None:
    with pytest.raises((pa.ArrowInvalid, pa.ArrowTypeError, OverflowError)):
        events_to_batch([an_event(event_time="soon")])
