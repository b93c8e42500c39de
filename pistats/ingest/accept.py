"""A request becomes durable records: `Ingest.accept` is the whole path.

**What an answer promises.** 202: every accepted event is durable, and every other event is named, as a duplicate by its
number or as rejected by its index. 429 and 503: nothing of this request was appended knowingly; send it again. All
partitions that a request needs have room for it, or none gets anything.

**When one partition fails after another has stored its share**, a 503 would make the client repeat all of it, and
events that came without an id would be counted twice. So the answer is 202, and the events that were not stored are in
`rejected` with the reason `unavailable` and the `event_id` to send them again under: that id makes the repetition
harmless, even if the failed append reached the log after all. No acknowledged event is lost, none is counted twice.

**When the number of partitions changes** while a request is on its way, what a partition no longer stores goes to
where the newer topology says, within the same time. For a dedupe window after a change, the partitions that stored a
visitor's events before are asked first, so that an id stored before the change is not stored again after it.

**The limit of it**: an event without an id or visitor id of its own cannot be recognised when the client repeats it
after a 503 or a broken connection. Senders that repeat have to give both.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

import orjson

from pistats.clock import Clock, now_ms
from pistats.errors import OverloadedError
from pistats.identity import bucket_of, event_key, partition_of
from pistats.ingest.batcher import MovedError, size_bytes
from pistats.ingest.event import Event
from pistats.ingest.parse import Parsed, parse
from pistats.ingest.placement import Outcome, Placement, Share, joined
from pistats.ingest.problem import ORIGIN_NOT_ALLOWED, UNKNOWN_KEY, ProblemError
from pistats.ingest.reason import Reason, Rejected
from pistats.ingest.record import RequestRecords, new_event_ids
from pistats.ingest.routes import Route, Router
from pistats.ingest.salts import DailySalts
from pistats.ingest.site_cache import KnownSite, SiteCache
from pistats.settings import IngestSettings

ONE_ACCEPTED = b'{"accepted":1,"duplicates":0,"rejected":[]}'


class IngestRequest(NamedTuple):
    """What a request says, apart from how it came: the body is only read once the key is known."""

    key: str
    origin: str | None
    ip: str | None
    """The client's, as `client_ip` finds it."""
    user_agent: str | None
    read_body: Callable[[], Awaitable[bytes]]
    """Gives the unpacked body. Raises ProblemError when it is too large or broken."""


class IngestAnswer(NamedTuple):
    """Newly stored events, those that had been stored before, and the refused ones."""

    accepted: int
    duplicates: int
    rejected: Sequence[Rejected]

    def to_json(self) -> bytes:
        """The body of the 202."""
        if self.accepted == 1 and not self.duplicates and not self.rejected:
            return ONE_ACCEPTED
        rejected = [entry.to_json() for entry in self.rejected]
        return orjson.dumps({"accepted": self.accepted, "duplicates": self.duplicates, "rejected": rejected})


class Ingest:
    """Accepts requests for all sites. One per process; its parts are injected and it owns none of them."""

    def __init__(
        self,
        sites: SiteCache,
        salts: DailySalts,
        router: Router,
        settings: IngestSettings,
        clock: Clock = now_ms,
        event_ids: Callable[[int], list[str]] = new_event_ids,
        is_http_library: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """`is_http_library` tells whether a user agent is a program's HTTP client, as `python-requests/2.32`.

        Such a sender speaks for a visitor and isn't one: its own user agent would make a bot of every event that
        comes without the visitor's.
        """
        self._sites = sites
        self._salts = salts
        self._router = router
        self._settings = settings
        self._clock = clock
        self._event_ids = event_ids
        self._is_http_library = is_http_library
        self._pending_requests = 0

    async def accept(self, request: IngestRequest) -> IngestAnswer:
        """Store every good event of the request, durably, and say what became of each.

        Raises ProblemError (400, 401, 403, 413, 415), OverloadedError and UnavailableError: nothing was stored.
        A caller that is cancelled does not stop an append that has begun.
        """
        self._enter()
        try:
            site = await self._authorised(request)
            parsed = parse(await request.read_body(), self._settings)
            received_time = self._clock()
            route = self._router.route
            shares = await self._shares(route, site, request, parsed, received_time)
            if route.asks_first(received_time):
                return await self._ask_and_store(route, site, shares, parsed)
            return await self._store(route, site, shares, parsed)
        finally:
            self._pending_requests -= 1

    def start(self) -> None:
        """Begin to keep the sites and the topology fresh. Needs a running event loop; may be called again."""
        self._sites.start()
        self._router.start()

    async def close(self) -> None:
        """Wait for the appends under way, then stop."""
        await self._router.close()
        await self._sites.close()

    def _enter(self) -> None:
        if self._pending_requests >= self._settings.max_pending_requests:
            raise OverloadedError(f"{self._pending_requests} requests are waiting already: send again later.")
        self._pending_requests += 1

    async def _authorised(self, request: IngestRequest) -> KnownSite:
        key = request.key
        site = key and (self._sites.known(key) or await self._sites.find(key))
        if not site:
            raise ProblemError(
                UNKNOWN_KEY,
                "Send the site's write key in the header x-pistats-key or as ?key=. "
                "`pistats site add` and `pistats site rotate-key` print it.",
            )
        # No Origin: not a browser, or not across origins. A server can write any origin, so there is nothing to check.
        if site.origins and request.origin is not None and request.origin.lower() not in site.origins:
            raise ProblemError(
                ORIGIN_NOT_ALLOWED,
                f"The site {site.name} only takes events from its allowed origins, and the page's is not among them: "
                "allow it, or use the key of the page's own site.",
            )
        return site

    async def _shares(
        self, route: Route, site: KnownSite, request: IngestRequest, parsed: Parsed, received_time: int
    ) -> dict[int, Share]:
        """The records of the request, by partition."""
        events = parsed.events
        self._give_event_ids(events)
        nameless = any("visitor_id" not in event for event in events)
        salt = await self._salts.at(received_time) if nameless else None
        agent = request.user_agent
        agent = None if agent is None or self._is_http_library(agent) else agent
        records = RequestRecords(site, received_time, parsed.sent_at, request.ip, agent, salt)
        partitions = route.topology.partitions
        shares: dict[int, Share] = {}
        for position, event in enumerate(events):
            payload = records.write(event)
            partition = partition_of(bucket_of(site.name, event["visitor_id"] or ""), partitions)
            share = shares.get(partition)
            if share is None:
                share = shares[partition] = Share()
            share.keys.append(event_key(site.name, event["event_id"] or ""))
            share.payloads.append(payload)
            share.positions.append(position)
        return shares

    def _give_event_ids(self, events: list[Event]) -> None:
        """Made before the first append, so that a retried batch carries the same ids."""
        without = [event for event in events if "event_id" not in event]
        if without:
            for event, event_id in zip(without, self._event_ids(len(without)), strict=True):
                event["event_id"] = event_id

    async def _store(self, route: Route, site: KnownSite, shares: dict[int, Share], parsed: Parsed) -> IngestAnswer:
        """Append every share. All partitions are asked for room before the first one gets anything."""
        for partition, share in shares.items():
            route.homes[partition].check_room(size_bytes(share.payloads))
        deadline = self._deadline()
        stored = [
            route.homes[partition].submit(share.keys, share.payloads, deadline) for partition, share in shares.items()
        ]
        outcomes: Sequence[Outcome]
        if len(stored) == 1:
            try:
                duplicates = len(await stored[0])
            except MovedError as moved:
                outcomes = [moved]
            else:
                return IngestAnswer(len(parsed.events) - duplicates, duplicates, parsed.rejected)
        else:
            outcomes = await asyncio.gather(*stored, return_exceptions=True)
        placement = self._placement(site, parsed, deadline)
        moved_records = placement.take_in(shares.values(), outcomes)
        if moved_records.keys:
            await placement.follow(route, moved_records)
        return _answer(placement, parsed)

    async def _ask_and_store(
        self, route: Route, site: KnownSite, shares: dict[int, Share], parsed: Parsed
    ) -> IngestAnswer:
        """The same after a change of the layout: former homes are asked first what they have."""
        placement = self._placement(site, parsed, self._deadline())
        await placement.store(route, joined(shares.values()))
        return _answer(placement, parsed)

    def _deadline(self) -> float:
        """By when a request that begins to be stored now is stored or has failed, by the event loop's clock."""
        return asyncio.get_running_loop().time() + self._settings.append_timeout_s

    def _placement(self, site: KnownSite, parsed: Parsed, deadline: float) -> Placement:
        events = parsed.events
        return Placement(
            self._router, lambda position: bucket_of(site.name, events[position]["visitor_id"] or ""), deadline
        )


def _answer(placement: Placement, parsed: Parsed) -> IngestAnswer:
    """The answer when several appends took part. Raises the failure when none of them stored anything."""
    if placement.failures and not placement.accepted and not placement.duplicates:
        raise placement.failures[0][1]
    rejected = list(parsed.rejected)
    for share, _ in placement.failures:
        rejected += (_not_stored(parsed, position) for position in share.positions)
    return IngestAnswer(placement.accepted, placement.duplicates, sorted(rejected, key=lambda entry: entry.index))


def _not_stored(parsed: Parsed, position: int) -> Rejected:
    return Rejected(
        parsed.indexes[position],
        Reason.UNAVAILABLE,
        "The event's partition could not store it in time. Send it again under this event_id.",
        parsed.events[position]["event_id"],
    )
