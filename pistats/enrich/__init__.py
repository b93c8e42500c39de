"""From the bytes in the log to an enriched event. `STEPS` says what happens, `docs/ENRICHMENT.md` shows it."""

from pistats.enrich.event import FIELDS, EnrichedEvent, Failure, Reason, enriched_only
from pistats.enrich.steps import STEPS, EnrichContext, enrich, enrich_batch

__all__ = [
    "FIELDS",
    "STEPS",
    "EnrichContext",
    "EnrichedEvent",
    "Failure",
    "Reason",
    "enrich",
    "enrich_batch",
    "enriched_only",
]
