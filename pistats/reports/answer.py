"""What every report has that may read rollups beside events."""

from dataclasses import dataclass

from pistats.clock import Clock
from pistats.warehouse.engine import QueryEngine, Source
from pistats.warehouse.rollup_files import RollupStore
from pistats.warehouse.storage import Storage


@dataclass(frozen=True, slots=True)
class RollupFiles:
    """The rollups of a group: the list of them, and where their files are."""

    store: RollupStore
    storage: Storage


class RollupAnswer:
    """Answers one kind of question of any site, from events, and from rollups where there are some.

    Without `rollups` everything is counted from events: the same numbers, as far as the raw events are still there.
    """

    def __init__(self, source: Source, engine: QueryEngine, clock: Clock, rollups: RollupFiles | None = None) -> None:
        self._source = source
        self._engine = engine
        self._clock = clock
        self._rollups = rollups
