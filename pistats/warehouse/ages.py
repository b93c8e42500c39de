"""How long a run may take, and how old what it leaves behind becomes. Everything that relies on that is here."""

from pistats.errors import RetryableError

HOUR_MS = 3_600_000

MAX_RUN_MS = 12 * HOUR_MS
"""From writing a file to listing it. Whoever took longer begins again: the file may have been swept."""

GARBAGE_MS = 24 * HOUR_MS
"""Unlisted files are removed at this age: twice as old as any that may still be listed."""

SETTLED_MS = GARBAGE_MS + HOUR_MS
"""After a tombstone: every run that had not seen it has ended, and what it left behind may be swept."""


def check_age(began_time: int, now: int) -> None:
    """Raises RetryableError when files written since `began_time` (Unix ms) must not be listed any more."""
    if now - began_time > MAX_RUN_MS:
        raise RetryableError(
            f"Files were written {(now - began_time) // HOUR_MS} hours before they were to be listed, and may have "
            "been removed as garbage. Nothing was lost: run it again."
        )
