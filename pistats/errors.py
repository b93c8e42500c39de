"""Every error that piStats raises on purpose, in one tree: what may be retried, what is final, what is corruption.

A message says what happened, where, and what to do about it.
"""


class PistatsError(Exception):
    """The root: catch this to catch everything that piStats raises on purpose."""


class RetryableError(PistatsError):
    """Nothing was stored that the caller does not know of; the same call may be made again after `retry_after_s`."""

    def __init__(self, message: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class OverloadedError(RetryableError):
    """A bounded queue is full, or the disk has reached its high-water mark. Refused before anything was stored."""


class UnavailableError(RetryableError):
    """A part that this call needs is starting, restarting or out of reach."""


class FinalError(PistatsError):
    """Repeating the same call gives the same answer: the caller has to change something."""


class ConfigurationError(FinalError):
    """A setting or the machine is not as it has to be; the message says how to mend it."""


class InputError(FinalError):
    """What a person entered cannot be stored; the message says what to change."""


class PositionError(FinalError):
    """A stream position that cannot be read from; the message names the valid range."""


class FencedError(FinalError):
    """A newer owner has taken this partition: what this owner holds is void and has to be dropped."""


class CorruptionError(PistatsError):
    """Stored bytes are not what was written. Nothing is skipped; an operator has to decide."""


class QueryError(FinalError):
    """A question that cannot be answered as it was asked; the message names what to change."""


class QueryTimeoutError(FinalError):
    """A query took longer than it may and was stopped; the message says how to ask for less."""
