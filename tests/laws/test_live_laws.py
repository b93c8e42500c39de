"""The live read model's laws: no split, partitioning, order or restart changes a number."""

import itertools
from collections.abc import Sequence
from typing import Any

import bson
from hypothesis import given, settings
from hypothesis import strategies as st

from pistats.live import LiveBuckets, LiveFeed, LiveView, MinuteBucket
from pistats.live.bucket import MINUTE_MS

NOW = 1_764_000_000_000 - 1_764_000_000_000 % MINUTE_MS + 25_000
TEXT = st.sampled_from(["/", "/a", "/b.c", "/$d", "(other)", "x" * 300, "ü" * 120, "\x00"])
MAYBE = st.none() | st.sampled_from(["Google", "de", "mobile"])


@st.composite
def events(draw: st.DrawFn) -> dict[str, Any]:
    age_ms = draw(st.integers(0, 32 * MINUTE_MS))
    return {
        "site": draw(st.sampled_from(["a", "b"])),
        "event_id": draw(st.uuids()).hex,
        "event_time": NOW - age_ms,
        "received_time": NOW,
        "visitor_id": draw(st.sampled_from("abcdefgh")),
        "name": draw(st.sampled_from(["page_view", "engagement", "buy"])),
        "is_bot": draw(st.integers(0, 9)) == 0,
        "path": draw(TEXT | st.none()),
        "properties": draw(st.none() | st.fixed_dictionaries({"topic": TEXT})),
        "host": None,
        "title": None,
        "section": draw(MAYBE),
        "source": draw(MAYBE),
        "channel": draw(st.none() | st.sampled_from(["Direct", "Referral"])),
        "country": draw(MAYBE),
        "city": None,
        "device": draw(MAYBE),
        "browser": draw(MAYBE),
        "os": None,
    }


LAW = settings(max_examples=60, deadline=None)
"""No deadline: a busy machine is not a broken law."""

BATCH = st.lists(events(), max_size=40)


def bucket(items: Sequence[dict[str, Any]]) -> MinuteBucket:
    made = MinuteBucket()
    for item in items:
        made.fold(item)
    return made


def stored(document: dict[str, Any]) -> dict[str, Any]:
    """Through MongoDB's own format and back."""
    return bson.decode(bson.encode(document))


def consume(
    items: Sequence[dict[str, Any]], partition: int, cuts: set[int], restart: bool
) -> dict[str, dict[str, Any]]:
    """The documents after the events came in flushes cut at `cuts`; `restart` drops all memory between two flushes."""
    database: dict[str, dict[str, Any]] = {}
    folds: list[LiveBuckets | LiveFeed] = [LiveBuckets(partition, late_minutes=2), LiveFeed(partition, 5)]
    flushes = [0, *sorted(cut for cut in cuts if cut < len(items)), len(items)]
    for begin, end in itertools.pairwise(flushes):
        for fold in folds:
            if restart:
                fold.clear()
            asked = [str(key) for key in fold.missing(items[begin:end])]
            fold.load(stored(database[key]) for key in asked if key in database)
            fold.fold(items[begin:end])
            for document in fold.documents():
                database[str(document["_id"])] = document
            fold.committed()
    return database


def look(documents: Sequence[dict[str, Any]], site: str, now_ms: int = NOW) -> dict[str, Any]:
    view = LiveView()
    for document in documents:
        view.apply("minutes" if "slots" in document else "feed", stored(document))
    return view.snapshot(site, now_ms)


def without_feed(snapshot: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in snapshot.items() if key != "feed"}


@given(BATCH, BATCH, BATCH)
@LAW
def test_merge_is_associative_and_commutative_with_identity(a: Any, b: Any, c: Any) -> None:
    x, y, z = bucket(a), bucket(b), bucket(c)

    assert x.merge(y).merge(z).numbers() == x.merge(y.merge(z)).numbers()
    assert x.merge(y).numbers() == y.merge(x).numbers()
    assert x.merge(MinuteBucket()).numbers() == MinuteBucket().merge(x).numbers() == x.numbers()


@given(BATCH, BATCH)
@LAW
def test_merging_equals_folding_both(a: Any, b: Any) -> None:
    assert bucket(a).merge(bucket(b)).numbers() == bucket([*a, *b]).numbers()


@given(BATCH, BATCH)
@LAW
def test_a_document_keeps_everything_and_the_future(a: Any, b: Any) -> None:
    kept = bucket(a)
    document = kept.to_document()

    read = MinuteBucket.from_document(stored(document))

    assert read.to_document() == document
    for item in b:
        kept.fold(item)
        read.fold(item)
    assert read.numbers() == kept.numbers()


@given(BATCH, st.sets(st.integers(1, 40)), st.booleans())
@LAW
def test_any_split_into_flushes_gives_the_same_snapshot(items: Any, cuts: set[int], restart: bool) -> None:
    whole = consume(items, 0, set(), restart=False)
    split = consume(items, 0, cuts, restart)

    for site in ("a", "b"):
        assert look(list(split.values()), site) == look(list(whole.values()), site)


@given(BATCH, st.integers(1, 4), st.randoms(use_true_random=False))
@LAW
def test_any_partitioning_and_order_gives_the_same_snapshot(items: Any, partitions: int, random: Any) -> None:
    whole = list(consume(items, 0, set(), restart=False).values())
    parts: list[dict[str, Any]] = []
    for partition in range(partitions):
        mine = [item for item in items if ord(item["visitor_id"]) % partitions == partition]
        parts += consume(mine, partition, set(), restart=False).values()
    random.shuffle(parts)

    for site in ("a", "b"):
        assert without_feed(look(parts, site)) == without_feed(look(whole, site))


@given(BATCH, st.sets(st.integers(1, 40)))
@LAW
def test_a_view_that_followed_equals_one_that_was_read_at_the_end(items: Any, cuts: set[int]) -> None:
    followed = LiveView()
    done = 0
    for cut in [*sorted(cut for cut in cuts if cut < len(items)), len(items)]:
        for document in consume(items[:cut], 0, set(), restart=False).values():
            followed.apply("minutes" if "slots" in document else "feed", stored(document))
        followed.snapshot("a", NOW - MINUTE_MS * (len(items) - cut))
        done = cut

    assert done == len(items)
    final = list(consume(items, 0, set(), restart=False).values())
    assert followed.snapshot("a", NOW) == look(final, "a")


@given(BATCH)
@LAW
def test_numbers_fall_to_zero_without_an_event(items: Any) -> None:
    documents = list(consume(items, 0, set(), restart=False).values())

    later = look(documents, "a", NOW + 31 * MINUTE_MS)

    assert later["current_visitors_5m"] == later["visitors_30m"] == 0
    assert sum(row["views"] for row in later["views_per_minute"]) == 0
    assert later["top_pages"] == later["trending"] == later["sources"] == []
