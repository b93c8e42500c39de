"""The pool's size under lag that comes and goes."""

import pytest

from pistats.consumer.scaling import GROW_AFTER_S, Bounds, PoolSize

LOOK_S = 2.0
SHRINK_AFTER_S = 120.0


class Scene:
    """A pool that is looked at every two seconds."""

    def __init__(self, size: int = 1, bounds: Bounds = Bounds(1, 4)) -> None:  # noqa: B008
        self.now = 1_000.0
        self.bounds = bounds
        self.pool = PoolSize(size, SHRINK_AFTER_S, lambda: self.now)

    def lag(self, lag_s: float, seconds: float) -> list[int]:
        """The sizes over so many seconds of this lag, without repetitions."""
        sizes: list[int] = []
        for _ in range(int(seconds / LOOK_S)):
            self.now += LOOK_S
            size = self.pool.look(lag_s, self.bounds)
            if not sizes or sizes[-1] != size:
                sizes.append(size)
        return sizes


def test_it_grows_step_by_step_while_behind_and_shrinks_after_a_long_calm() -> None:
    scene = Scene()
    assert scene.lag(0.0, 60) == [1]
    assert scene.lag(60.0, 60) == [1, 2, 3, 4]
    assert scene.lag(0.0, SHRINK_AFTER_S) == [4]
    assert scene.lag(0.0, 4 * SHRINK_AFTER_S) == [3, 2, 1]


def test_a_short_delay_and_a_short_calm_change_nothing() -> None:
    scene = Scene(size=2)
    for _ in range(20):
        assert scene.lag(60.0, GROW_AFTER_S) == [2]
        assert scene.lag(0.0, SHRINK_AFTER_S / 2) == [2]


def test_a_lag_between_the_two_bounds_changes_nothing() -> None:
    assert Scene(size=2).lag(5.0, 1_000) == [2]


@pytest.mark.parametrize(
    ("least", "most", "partitions", "bounds"),
    [(1, 2, 2, (1, 2)), (1, 8, 2, (1, 2)), (4, 8, 2, (2, 2)), (2, 1, 4, (1, 1)), (1, 2, 0, (1, 1))],
)
def test_more_consumers_than_partitions_are_useless(
    least: int, most: int, partitions: int, bounds: tuple[int, int]
) -> None:
    assert Bounds(least, most).within(partitions) == Bounds(*bounds)


def test_a_size_out_of_bounds_is_brought_back_at_once() -> None:
    assert Scene(size=9, bounds=Bounds(1, 2)).lag(0.0, LOOK_S) == [2]
    assert Scene(size=0, bounds=Bounds(1, 2)).lag(60.0, LOOK_S) == [1]
