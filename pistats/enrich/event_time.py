"""When an event happened, by the server's clock."""


def event_time_of(received_time: int, time: int | None, sent_at: int | None) -> int:
    """Unix ms at which the event happened: never later than its receipt, never negative.

    With `sent_at`, both of the client's times come from the same clock, so its error cancels out:
    `received_time - (sent_at - time)`. Without it the client's time is taken as it is.
    """
    if time is None:
        return received_time
    corrected = time if sent_at is None else received_time - (sent_at - time)
    return max(0, min(corrected, received_time))
