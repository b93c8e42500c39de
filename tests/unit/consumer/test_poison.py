"""Who is suspected after a death, and who is not."""

from typing import Any

import pytest

from pistats.consumer import poison
from pistats.consumer.poison import NO_SUSPICION, SLICE_EVENTS, Life, Suspicion

A, B, C = ("a", "1"), ("b", "1"), ("c", "1")


def partition(offset: int | None = 1_000, **more: Any) -> dict[str, Any]:
    return {"offset": offset, **more}


def suspect(first: int, end: int, *lives: Life) -> dict[str, Any]:
    return {"from_offset": first, "to_offset": end, "lives": [list(life) for life in lives or (A,)]}


def suspicion_of(document: dict[str, Any], *, died: bool, range_events: int, ended: tuple[Life, ...] = ()) -> Suspicion:
    return poison.suspicion_of(document, died=died, range_events=range_events, ended=lambda life: life in ended)


def test_nobody_is_suspected_without_a_death() -> None:
    assert suspicion_of(partition(), died=False, range_events=500) == NO_SUSPICION
    assert suspicion_of(partition(suspect=suspect(1_000, 1_001)), died=False, range_events=500) == NO_SUSPICION
    assert NO_SUSPICION.slice_events(0) is None


def test_after_a_first_death_what_was_in_hand_is_consumed_in_slices() -> None:
    found = suspicion_of(partition(), died=True, range_events=250)
    assert found == Suspicion(careful_until=1_250)
    assert [found.slice_events(offset) for offset in (1_000, 1_200, 1_249, 1_250)] == [SLICE_EVENTS, 50, 1, None]


def test_a_group_that_has_committed_nothing_is_treated_alike() -> None:
    assert suspicion_of(partition(None), died=True, range_events=10).slice_events(0) == 10


def test_the_slice_in_which_the_process_ended_is_consumed_one_by_one() -> None:
    document = partition(1_100, suspect=suspect(1_100, 1_150), careful_until=1_250)
    found = suspicion_of(document, died=True, range_events=250)
    assert (found.slice_events(1_100), found.slice_events(1_149), found.slice_events(1_150)) == (1, 1, SLICE_EVENTS)
    assert found.condemned is None


def test_an_event_that_was_alone_when_the_process_ended_is_condemned() -> None:
    document = partition(1_120, suspect=suspect(1_120, 1_121), careful_until=1_250, single_until=1_150)
    found = suspicion_of(document, died=True, range_events=250, ended=(A,))
    assert found.condemned == 1_120
    assert (found.slice_events(1_120), found.slice_events(1_121), found.slice_events(1_150)) == (1, 1, SLICE_EVENTS)


def test_a_lease_that_ran_out_condemns_nobody_until_one_of_the_processes_is_known_to_have_ended() -> None:
    document = partition(1_120, suspect=suspect(1_120, 1_121, A))
    found = suspicion_of(document, died=True, range_events=250)
    assert (found.condemned, found.slice_events(1_120)) == (None, 1)

    note = found.note(1_120, 1, B)["suspect"]
    assert note["lives"] == {"$literal": [["a", "1"], ["b", "1"]]}
    again = partition(1_120, suspect={**note, "lives": note["lives"]["$literal"]})
    assert suspicion_of(again, died=True, range_events=250, ended=(C,)).condemned is None
    assert suspicion_of(again, died=True, range_events=250, ended=(A,)).condemned == 1_120
    assert suspicion_of(again, died=True, range_events=250, ended=(B,)).condemned == 1_120


def test_another_event_is_noted_without_those_who_had_the_one_before() -> None:
    found = suspicion_of(partition(1_120, suspect=suspect(1_120, 1_121, A)), died=True, range_events=250)
    assert found.note(1_121, 1, B)["suspect"]["lives"] == {"$literal": [["b", "1"]]}


@pytest.mark.parametrize("noted", [None, suspect(900, 1_000), suspect(999, 1_000)])
def test_a_death_outside_of_what_was_noted_condemns_nobody(noted: dict[str, Any] | None) -> None:
    document = partition(suspect=noted, single_until=1_000)
    found = suspicion_of(document, died=True, range_events=250, ended=(A,))
    assert (found.condemned, found.slice_events(1_000)) == (None, SLICE_EVENTS)


def test_what_was_stored_after_the_death_is_not_suspected() -> None:
    assert Suspicion(careful_until=5_000).within(1_200).slice_events(1_200) is None


def test_a_suspicion_outlives_a_lease_that_ended_within_the_process() -> None:
    kept = Suspicion(careful_until=5_000, single_until=70, condemned=60)
    assert NO_SUSPICION.joined(kept) == kept
