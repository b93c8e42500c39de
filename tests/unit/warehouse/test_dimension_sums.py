"""Rows of sums find their places, however many numbers there may be."""

import numpy as np
import pytest

from pistats.warehouse.dimension_sums import DENSE, places


@pytest.mark.parametrize("space", [100, DENSE + 1])
def test_places_of_numbers(space: int) -> None:
    parts = [np.array([7, 3, 99, 3]), np.array([], np.int64), np.array([0, 99])]

    found, at = places(parts, space)

    assert found.tolist() == [0, 3, 7, 99]
    assert [one.tolist() for one in at] == [[2, 1, 3, 1], [], [0, 3]]
