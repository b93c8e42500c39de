"""The record that the log keeps of an event: the server's fields first, then the client's, as one line of JSON.

`{"site", "received_time", "ip"?, "user_agent"?, "sent_at"?, "event_id", "visitor_id", "name", …}`. The part that a
request's events share is made once and spliced in front of each; a client's field never overrides the server's.
"""

import os

import orjson

from pistats.identity import anonymous_visitor, normal_ip, truncate_ip
from pistats.ingest.event import MAX_USER_AGENT, Event, with_small_integers
from pistats.ingest.site_cache import KnownSite

EVENT_ID_BYTES = 16


def new_event_ids(count: int) -> list[str]:
    """Random 128-bit ids in hexadecimal: one system call for all of them."""
    digits = os.urandom(EVENT_ID_BYTES * count).hex()
    return [digits[start : start + 2 * EVENT_ID_BYTES] for start in range(0, len(digits), 2 * EVENT_ID_BYTES)]


class RequestRecords:
    """Turns the events of one request into records. `salt` is only needed when an event has no visitor id."""

    __slots__ = ("_head", "_ip", "_received_time", "_salt", "_sent_at", "_site", "_user_agent")

    def __init__(
        self,
        site: KnownSite,
        received_time: int,
        sent_at: int | None,
        ip: str | None,
        user_agent: str | None,
        salt: bytes | None,
    ) -> None:
        self._site = site
        self._received_time = received_time
        self._sent_at = sent_at
        self._ip = ip
        self._user_agent = user_agent
        self._salt = salt
        self._head = self._make_head(ip, user_agent)

    def write(self, event: Event) -> bytes:
        """The record of an event that has an event id. Gives the event a visitor id when it has none."""
        head, ip, user_agent = self._head, self._ip, self._user_agent
        if "ip" in event or "user_agent" in event:  # a server sends for its visitors
            ip = event.pop("ip", None) or ip
            user_agent = event.pop("user_agent", None) or user_agent
            head = self._make_head(ip, user_agent)
        if "visitor_id" not in event:
            assert self._salt is not None
            event["visitor_id"] = anonymous_visitor(self._site.name, ip, user_agent, self._salt)
        try:
            return head + orjson.dumps(event)[1:]
        except TypeError:  # an integer beyond 64 bits
            return head + orjson.dumps(with_small_integers(event))[1:]

    def _make_head(self, ip: str | None, user_agent: str | None) -> bytes:
        head = self._site.head + str(self._received_time).encode()
        stored_ip = ip and (truncate_ip(ip) if self._site.site.truncate_ip else normal_ip(ip))
        if stored_ip:
            head += b',"ip":"' + stored_ip.encode() + b'"'
        if user_agent:
            head += b',"user_agent":' + orjson.dumps(user_agent[:MAX_USER_AGENT])
        if self._sent_at is not None:
            head += b',"sent_at":' + str(self._sent_at).encode()
        return head + b","
