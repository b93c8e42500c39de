"""Who visits: visitors with a device, a place and a reading habit that stay theirs, and come back."""

from dataclasses import dataclass
from ipaddress import IPv4Address
from random import Random

from pistats.demo_site.catalogue import SECTIONS
from pistats.simulate.choice import Weighted
from pistats.simulate.devices import CRAWLERS, DEVICES, Device
from pistats.simulate.places import PLACES

CRAWLER_SHARE = 0.02
"""Of visitors. Real sites see more; the simulated share only has to show up in the bot filter."""
SIGNED_IN_SHARE = 0.08
RETURN_SHARE = 0.4
"""Of sessions that are by a visitor who has been here before, while there are new ones left."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """One visitor, the same in every session."""

    visitor_id: str
    user_id: str | None
    device: Device
    screen: str
    ip: str
    language: str
    favourite: str

    @property
    def is_crawler(self) -> bool:
        return self.device.kind == "bot"


class Population:
    """At most `limit` distinct visitors, each in at most one session at a time."""

    def __init__(self, random: Random, limit: int) -> None:
        self._random, self._limit = random, limit
        self._known = 0
        self._idle: list[Visitor] = []
        self._places = Weighted(PLACES, [place.weight for place in PLACES])
        self._devices = Weighted(DEVICES, [device.weight for device in DEVICES])
        self._crawlers = Weighted(CRAWLERS, [device.weight for device in CRAWLERS])
        self._sections = tuple(SECTIONS)

    def arrive(self) -> Visitor | None:
        """A visitor who begins a session; None when all of them are here."""
        full = self._known >= self._limit
        if self._idle and (full or self._random.random() < RETURN_SHARE):
            return self._take_idle()
        return None if full else self._new()

    def leave(self, visitor: Visitor) -> None:
        """The visitor's session has ended; he may come back."""
        self._idle.append(visitor)

    def _take_idle(self) -> Visitor:
        index = int(self._random.random() * len(self._idle))
        self._idle[index], self._idle[-1] = self._idle[-1], self._idle[index]
        return self._idle.pop()

    def _new(self) -> Visitor:
        random = self._random
        self._known += 1
        place = self._places.draw(random)
        crawler = random.random() < CRAWLER_SHARE
        device = (self._crawlers if crawler else self._devices).draw(random)
        signed_in = not crawler and random.random() < SIGNED_IN_SHARE
        return Visitor(
            visitor_id=f"{random.getrandbits(128):032x}",
            user_id=f"reader-{self._known}" if signed_in else None,
            device=device,
            screen=random.choice(device.screens),
            ip=str(IPv4Address(place.first_address + random.randrange(place.addresses))),
            language=random.choice(place.languages),
            favourite=random.choice(self._sections),
        )
