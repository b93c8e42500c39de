"""What compaction decides to do: enough, never the same twice, and it comes to an end for any files."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from pistats.settings import BUCKETS
from pistats.warehouse.compact import Sizes, plan
from pistats.warehouse.manifest import WarehouseFile
from pistats.warehouse.rewrite import Rewrite, split

SIZES = Sizes(small=100, aim=400, large=800)
TODAY = "2025-11-25"
CLOSED = "2025-11-20"


def a_file(path: str = "a", *, size: int = 10, date: str = TODAY, buckets: tuple[int, int] = (0, 63)) -> WarehouseFile:
    return WarehouseFile(path, "s", date, buckets, size, size, 0, 0, "run", "stream", 0)


def paths(rewrites: list[Rewrite]) -> list[set[str]]:
    return [{file.path for file in rewrite.old} for rewrite in rewrites]


def test_small_files_are_merged_and_large_ones_left_alone() -> None:
    files = [a_file("a"), a_file("b"), a_file("c", size=150), a_file("d", date=CLOSED)]

    assert paths(plan(files, TODAY, SIZES)) == [{"a", "b"}]


def test_a_day_that_is_over_gets_ranges_that_do_not_overlap() -> None:
    files = [a_file(name, size=500, date=CLOSED) for name in "abc"]

    (rewrite,) = plan(files, TODAY, SIZES)

    assert paths([rewrite]) == [{"a", "b", "c"}]
    assert rewrite.ranges == ((0, 15), (16, 31), (32, 47), (48, 63))
    assert plan([replace(file, date=TODAY) for file in files], TODAY, SIZES) == []


def test_a_file_that_is_too_large_is_split_unless_it_is_one_bucket() -> None:
    (rewrite,) = plan([a_file("a", size=2_000), a_file("b", size=2_000, buckets=(7, 7))], TODAY, SIZES)

    assert paths([rewrite]) == [{"a"}]
    assert len(rewrite.ranges) == 8


def test_imported_and_streamed_events_stay_apart() -> None:
    files = [a_file("a"), replace(a_file("b"), origin="import"), replace(a_file("c"), site="t")]

    assert plan(files, TODAY, SIZES) == []


@settings(deadline=None)
@given(st.integers(0, 63), st.integers(0, 63), st.integers(1, 100))
def test_a_split_covers_every_bucket_once(a: int, b: int, pieces: int) -> None:
    lo, hi = min(a, b), max(a, b)

    ranges = split((lo, hi), pieces)

    assert [bucket for start, end in ranges for bucket in range(start, end + 1)] == list(range(lo, hi + 1))
    assert len(ranges) <= pieces


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 3_000), st.integers(0, 63), st.integers(0, 63), st.sampled_from([TODAY, CLOSED])),
        max_size=25,
    )
)
def test_it_comes_to_an_end_and_changes_nothing_then(described: list[tuple[int, int, int, str]]) -> None:
    files = {
        str(number): a_file(str(number), size=size, date=date, buckets=(min(a, b), max(a, b)))
        for number, (size, a, b, date) in enumerate(described)
    }
    total = sum(file.bytes for file in files.values())

    for step in range(200):
        rewrites = plan(list(files.values()), TODAY, SIZES)
        if not rewrites:
            break
        for number, rewrite in enumerate(rewrites):
            _apply(files, rewrite, f"{step}-{number}")
    else:
        raise AssertionError("compaction never ends")

    assert sum(file.bytes for file in files.values()) == total
    assert not any(file.bytes > SIZES.large and file.buckets[0] < file.buckets[1] for file in files.values())


def _apply(files: dict[str, WarehouseFile], rewrite: Rewrite, name: str) -> None:
    """As if visitors were spread evenly over the buckets."""
    rest = sum(file.bytes for file in rewrite.old)
    for file in rewrite.old:
        del files[file.path]
    for number, (lo, hi) in enumerate(rewrite.ranges):
        last = number == len(rewrite.ranges) - 1
        size = rest if last else sum(file.bytes for file in rewrite.old) * (hi - lo + 1) // BUCKETS
        size = min(size, rest)
        rest -= size
        if size:
            files[f"{name}-{number}"] = replace(rewrite.old[0], path=f"{name}-{number}", bytes=size, buckets=(lo, hi))
    assert rest == 0
