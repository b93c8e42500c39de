"""Flushes become fewer when they take long, and as frequent as before when they are quick again."""

from pistats.consumer.pace import FlushPace


def test_quick_flushes_keep_the_usual_interval() -> None:
    pace = FlushPace(0.5, 2.0)
    assert pace.interval_s == 0.5
    assert {pace.flushed(0.05) for _ in range(20)} == {0.5}


def test_slow_flushes_come_less_often_up_to_the_bound() -> None:
    pace = FlushPace(0.5, 2.0)
    intervals = [pace.flushed(0.4) for _ in range(20)]
    assert intervals == sorted(intervals)
    assert 1.1 < intervals[-1] <= 1.2
    assert [pace.flushed(5.0) for _ in range(20)][-1] == 2.0


def test_it_recovers_when_the_load_is_gone() -> None:
    pace = FlushPace(0.5, 2.0)
    for _ in range(20):
        pace.flushed(5.0)
    assert [pace.flushed(0.01) for _ in range(30)][-1] == 0.5


def test_a_bound_below_the_interval_changes_nothing() -> None:
    assert FlushPace(3.0, 2.0).flushed(10.0) == 3.0
