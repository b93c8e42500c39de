"""What a process does once before it consumes."""

import gc

from pistats.warehouse.chunk import events_to_batch

YOUNG_OBJECTS = 50_000
"""New objects between two looks for garbage. A flush of 5,000 events makes some 20,000 that all live until it is
committed; Python's 700 would look through them again and again, for a quarter to a third of the processor time."""

OLD_AFTER = (20, 50)
"""Collections of one generation before the next older one is looked through: it holds the visitors in memory."""


def prepare_process() -> None:
    """Pay now for what the first flush would have to wait for, and let the garbage collector leave it alone.

    Call it when everything that stays has been loaded. May be repeated.
    """
    events_to_batch([])  # pyarrow imports pandas when it is first used: a second
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, *OLD_AFTER)
