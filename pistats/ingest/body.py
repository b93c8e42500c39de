"""The bytes of a request's body: read within bounds, unpacked within bounds, cut into events.

Cutting needs no well-formed JSON: that is how one broken event is told from its neighbours.
"""

import re
import zlib
from collections.abc import AsyncIterator, Iterator

from pistats.ingest.problem import TOO_LARGE, UNKNOWN_ENCODING, UNREADABLE_BODY, ProblemError

GZIP_MAGIC = b"\x1f\x8b"
UTF8_MARK = b"\xef\xbb\xbf"
WHITESPACE = b" \t\r\n"
STRING = ord('"')
COMMA = ord(",")

MAX_DEPTH = 1_000
"""Deeper nesting is not looked into: whatever it is, it is no event."""

_GZIP_WINDOW = 31
"""zlib's name for: a gzip header and trailer, largest window."""

_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+(?P<end>"?)|[\[\]{},:]', re.DOTALL)
"""A string, closed or not, or a character that gives JSON its shape. Possessive: linear in any input."""

_ESCAPE = re.compile(
    rb"\\(?:(?P<bad>u0000|u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|.)",
    re.DOTALL,
)
"""Any escape of JSON. Every one is matched, from left to right, so that an escaped backslash hides what follows it."""


async def read_body(chunks: AsyncIterator[bytes], content_encoding: str, max_bytes: int) -> bytes:
    """The whole body, unpacked, never more than `max_bytes` of it in memory (and one chunk).

    Gzip is also recognised by its first bytes: a beacon cannot set headers.
    Raises ProblemError: 413 too large, 415 an encoding other than gzip, 400 broken gzip.
    """
    if content_encoding not in ("", "identity", "gzip", "x-gzip"):
        raise ProblemError(
            UNKNOWN_ENCODING,
            "Send the body as it is, or with content-encoding: gzip.",
            ((b"accept-encoding", b"gzip"),),
        )
    parts: list[bytes] = []
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > max_bytes:
            raise too_large(max_bytes)
        parts.append(chunk)
    body = parts[0] if len(parts) == 1 else b"".join(parts)
    if content_encoding in ("gzip", "x-gzip") or body.startswith(GZIP_MAGIC):
        return gunzip(body, max_bytes)
    return body


def gunzip(packed: bytes, max_bytes: int) -> bytes:
    """Unpack gzip, of one member or several, and stop as soon as it yields more than `max_bytes`.

    Raises ProblemError: 413 too large, 400 not gzip or cut short.
    """
    parts: list[bytes] = []
    room = max_bytes
    while packed:
        member = zlib.decompressobj(_GZIP_WINDOW)
        try:
            part = member.decompress(packed, room + 1)
        except zlib.error:
            raise ProblemError(UNREADABLE_BODY, "The body is said to be gzip but cannot be unpacked.") from None
        room -= len(part)
        if room < 0:
            raise too_large(max_bytes)
        if not member.eof:
            raise ProblemError(UNREADABLE_BODY, "The gzip body ends too early: send it whole.")
        parts.append(part)
        packed = member.unused_data.lstrip(b"\0")
    return b"".join(parts)


def too_large(max_bytes: int) -> ProblemError:
    """The refusal of a body above the bound."""
    return ProblemError(
        TOO_LARGE, f"A request has at most {max_bytes} bytes, unpacked: send fewer events in each request."
    )


def too_many(max_events: int) -> ProblemError:
    """The refusal of a body with more events than a request may have."""
    return ProblemError(TOO_LARGE, f"A request has at most {max_events} events: send the rest in another one.")


def mend_escapes(body: bytes) -> bytes:
    """The JSON with U+FFFD for each escaped NUL and each lone surrogate; any other body comes back as it is.

    Databases end a string at a NUL, and half a surrogate pair is no character. Browsers send such halves when a script
    cuts a title in the middle of an emoji: that is no reason to lose the event.
    """
    if b"\\u0000" in body or b"\\ud" in body or b"\\uD" in body:
        return _ESCAPE.sub(_mended, body)
    return body


def _mended(escape: re.Match[bytes]) -> bytes:
    return b"\\ufffd" if escape["bad"] else escape[0]


def split_lines(body: bytes) -> list[bytes]:
    """The non-empty lines: the events of NDJSON."""
    return [line for raw in body.split(b"\n") if (line := raw.strip(WHITESPACE))]


def split_array(body: bytes, max_items: int) -> list[bytes]:
    """The items of the array that `body` begins with, as sent: at most `max_items`, the rest is not looked at.

    Items need not be valid JSON. A last item that is cut short is an item, and so is what follows the array: both show
    up as invalid where they are read.
    """
    return [body[start:end].strip(WHITESPACE) for start, _, end in _members(body, max_items)]


def array_member(body: bytes, name: bytes) -> bytes | None:
    """The array under key `name` of the object that `body` is, as sent; None when there is none.

    The last one counts when the key is repeated, as everywhere in JSON. None also when something follows the object.
    """
    found = None
    quoted = b'"' + name + b'"'
    for start, colon, end in _members(body, len(body)):
        if colon < 0:
            return None
        if body[start:colon].strip(WHITESPACE) == quoted:
            value = body[colon + 1 : end].strip(WHITESPACE)
            found = value if value.startswith(b"[") else None
    return found


def is_one_value(body: bytes) -> bool:
    """Whether the object or array that `body` begins with closes at its very end."""
    depth = 0
    for token in _TOKEN.finditer(body):
        character = body[token.start()]
        if character in b"[{":
            depth += 1
        elif character in b"]}":
            depth -= 1
            if depth <= 0:
                return token.end() == len(body)
    return False


def _members(body: bytes, limit: int) -> Iterator[tuple[int, int, int]]:
    """Start, first colon (or -1) and end of each member of the array or object that `body` begins with.

    What follows its closing bracket is one more member, without a colon.
    """
    depth = 0
    start = colon = -1
    for token in _TOKEN.finditer(body):
        character = body[token.start()]
        if character == STRING:
            if not token["end"]:
                break
        elif character in b"[{":
            depth += 1
            if depth == 1:
                start = token.end()
            elif depth > MAX_DEPTH:
                break
        elif character in b"]}":
            depth -= 1
            if depth == 0:
                if body[start : token.start()].strip(WHITESPACE):
                    yield start, colon, token.start()
                start, colon = token.end(), -1
                break
        elif depth == 1 and character == COMMA:
            yield start, colon, token.start()
            start, colon = token.end(), -1
            limit -= 1
            if limit == 0:
                return
        elif depth == 1 and colon < 0:
            colon = token.start()
    if start >= 0 and body[start:].strip(WHITESPACE):
        yield start, colon, len(body)
