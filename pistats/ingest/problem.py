"""Errors as RFC 9457 problems: a stable type, a title, and a detail that says how to mend it."""

from dataclasses import dataclass

import orjson

CONTENT_TYPE = b"application/problem+json"


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """One kind of refusal: `type` is stable and may be matched by clients."""

    type: str
    status: int
    title: str


UNREADABLE_BODY = ProblemKind("/problems/unreadable-body", 400, "The body cannot be read")
UNREADABLE_EVENT = ProblemKind("/problems/unreadable-event", 400, "The event cannot be stored")
UNKNOWN_KEY = ProblemKind("/problems/unknown-key", 401, "The write key is missing or unknown")
ORIGIN_NOT_ALLOWED = ProblemKind("/problems/origin-not-allowed", 403, "This origin may not send to this site")
NOT_FOUND = ProblemKind("/problems/not-found", 404, "There is nothing here")
METHOD_NOT_ALLOWED = ProblemKind("/problems/method-not-allowed", 405, "This method is not allowed here")
TOO_LARGE = ProblemKind("/problems/too-large", 413, "The request is too large")
UNKNOWN_ENCODING = ProblemKind("/problems/unknown-content-encoding", 415, "The content encoding is not supported")
OVERLOADED = ProblemKind("/problems/overloaded", 429, "Too many events are waiting to be stored")
UNAVAILABLE = ProblemKind("/problems/unavailable", 503, "Nothing can be stored at the moment")
INTERNAL_ERROR = ProblemKind("/problems/internal-error", 500, "An error of the server")


class ProblemError(Exception):
    """A refusal of a whole request, ready to be answered."""

    def __init__(self, kind: ProblemKind, detail: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.headers = headers

    def body(self) -> bytes:
        """The problem as JSON."""
        kind = self.kind
        return orjson.dumps({"type": kind.type, "title": kind.title, "status": kind.status, "detail": self.detail})
