"""Slows down whoever guesses passwords."""

from collections import OrderedDict
from collections.abc import Callable

PER_ADDRESS_FAILURES = 5
"""Wrong passwords an address may send in a window: enough for a forgetful person."""

ALL_FAILURES = 100
"""Wrong passwords from everywhere in a window: bounds the time spent on hashing when addresses are plenty."""

WINDOW_MS = 60_000
"""How long a wrong password is held against its sender."""

MAX_ADDRESSES = 10_000
"""Addresses remembered at most: bounds the memory that a sender of many addresses can use up."""


class LoginLimiter:
    """Says how long an address has to wait before it may try again. Only failures count; a success forgets them."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, list[int]] = OrderedDict()
        self._all: list[int] = []

    def wait_s(self, address: str) -> int:
        """Whole seconds until the next attempt is looked at; 0 when it may come now."""
        since = self._clock() - WINDOW_MS
        mine = [time for time in self._failures.get(address, []) if time > since]
        self._all = [time for time in self._all if time > since]
        return max(_wait_s(mine, PER_ADDRESS_FAILURES, since), _wait_s(self._all, ALL_FAILURES, since))

    def failed(self, address: str) -> None:
        """Holds one wrong password against the address."""
        now = self._clock()
        recent = [time for time in self._failures.pop(address, []) if time > now - WINDOW_MS]
        self._failures[address] = [*recent, now][-PER_ADDRESS_FAILURES:]
        self._all = [*self._all, now][-ALL_FAILURES:]
        while len(self._failures) > MAX_ADDRESSES:
            self._failures.popitem(last=False)

    def succeeded(self, address: str) -> None:
        """Forgets the address's failures."""
        for time in self._failures.pop(address, [])[-1:]:
            if time in self._all:
                self._all.remove(time)


def _wait_s(failures: list[int], allowed: int, since: int) -> int:
    if len(failures) < allowed:
        return 0
    return max(1, -(-(failures[-allowed] - since) // 1000))
