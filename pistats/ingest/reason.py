"""Why an event was refused: one closed list, with what the sender can do about it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Reason(StrEnum):
    """Closed: clients and reports may rely on these words. New ones are announced in the change log."""

    INVALID_JSON = "invalid_json"
    NOT_AN_OBJECT = "not_an_object"
    EVENT_TOO_LARGE = "event_too_large"
    NAME_MISSING = "name_missing"
    NAME_TOO_LONG = "name_too_long"
    URL_MISSING = "url_missing"
    VALUE_TOO_LONG = "value_too_long"
    WRONG_TYPE = "wrong_type"
    INVALID_TIME = "invalid_time"
    TOO_MANY_PROPERTIES = "too_many_properties"
    PROPERTIES_TOO_DEEP = "properties_too_deep"
    UNAVAILABLE = "unavailable"
    """Nothing is wrong with the event: its partition could not be reached in time. Send it again, by its event id."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """One refused event: its index in the request, from 0. `event_id` is given when it should be sent again."""

    index: int
    reason: Reason
    detail: str
    event_id: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The entry in the answer's `rejected`."""
        entry: dict[str, Any] = {"index": self.index, "reason": self.reason.value, "detail": self.detail}
        if self.event_id is not None:
            entry["event_id"] = self.event_id
        return entry


class RejectedEventError(Exception):
    """Raised while one event is checked; caught where its index is known."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
