"""Weighted choices, prepared once: the shares of a list don't change while it is drawn from."""

from bisect import bisect
from collections.abc import Sequence
from itertools import accumulate
from random import Random
from typing import Generic, TypeVar

T = TypeVar("T")


class Weighted(Generic[T]):
    """Draws items in proportion to their weights, in O(log n)."""

    __slots__ = ("_items", "_sums")

    def __init__(self, items: Sequence[T], weights: Sequence[float]) -> None:
        self._items = items
        self._sums = list(accumulate(weights))

    def draw(self, random: Random) -> T:
        return self._items[min(bisect(self._sums, random.random() * self._sums[-1]), len(self._items) - 1)]


def zipf(items: Sequence[T], exponent: float) -> Weighted[T]:
    """The n-th item with weight n^-exponent: how visits spread over the pages of a site."""
    return Weighted(items, [rank**-exponent for rank in range(1, len(items) + 1)])
