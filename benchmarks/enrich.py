"""What an event costs between the log and MongoDB: µs per step of enrichment, per fold, per document, per snapshot.

    .venv/bin/python -m benchmarks.enrich

Seconds are seconds of CPU of this process, best of several rounds, with warm caches: 200 user agents, 2,000 visitors,
400 pages, as a busy site has them. `cold` steps see every user agent, address and URL for the first time.
"""

import random
import time
from collections.abc import Callable, Sequence
from typing import Any

import bson
import orjson
from crawleruseragents import CRAWLER_USER_AGENTS_DATA

from benchmarks.figures import Figures, Result
from benchmarks.part import arguments, run
from pistats.enrich import STEPS, EnrichContext, EnrichedEvent, enrich_batch, enriched_only
from pistats.enrich.event import open_event
from pistats.enrich.page import page_of
from pistats.enrich.user_agent import browser_of
from pistats.live import LiveBuckets, LiveFeed, LiveView
from pistats.live.bucket import MINUTE_MS

EVENTS = 20_000
ROUNDS = 5
NOW = 1_764_000_000_000
BROWSERS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{}.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_{} like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 "
    "Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 14; SM-S91{}B) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile "
    "Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:{}.0) Gecko/20100101 Firefox/{}.0",
)
REFERRERS = (None, "https://www.google.com/", "https://t.co/x1", "https://chatgpt.com/", "https://blog.example.org/a")


def payloads(seed: int, spread_ms: int) -> list[bytes]:
    """Records of one site over the last `spread_ms`, in order of receipt."""
    chance = random.Random(seed)
    agents = [chance.choice(BROWSERS).replace("{}", str(chance.randrange(1, 60))) for _ in range(190)]
    agents += [crawler["instances"][0] for crawler in CRAWLER_USER_AGENTS_DATA[:10] if crawler["instances"]]
    records = []
    for number in range(EVENTS):
        visitor = chance.randrange(2_000)
        received = NOW - spread_ms + number * spread_ms // EVENTS
        page = int(400 * chance.random() ** 3)
        tags = "?utm_source=newsletter&utm_medium=email" if number % 20 == 0 else ""
        record = {
            "site": "news",
            "received_time": received,
            "ip": f"{5 + visitor % 180}.{visitor // 180}.9.0",
            "sent_at": received - 40,
            "event_id": f"{seed:08x}-{number:016x}",
            "visitor_id": f"v-{visitor:012x}",
            "name": "page_view" if number % 5 else "engagement",
            "time": received - 60,
            "url": f"https://news.example.com/section-{page % 9}/article-{page}{tags}",
            "referrer": chance.choice(REFERRERS)
            if number % 3 == 0
            else f"https://news.example.com/section-{page % 9}/",
            "title": "An article about something",
            "user_agent": agents[visitor % len(agents)],
            "language": "en-US,en;q=0.9",
            "properties": {"topic": f"topic-{page % 60}"},
        }
        records.append(orjson.dumps(record))
    return records


def cost_us(run: Callable[[], object], items: int, rounds: int = ROUNDS) -> float:
    """The best round's CPU time per item, in µs."""
    best = float("inf")
    for _ in range(rounds):
        started = time.process_time()
        run()
        best = min(best, time.process_time() - started)
    return best / items * 1e6


def bench_enrich(records: Sequence[bytes], context: EnrichContext, figures: Figures) -> list[EnrichedEvent]:
    offsets = range(len(records))
    events = enriched_only(enrich_batch(records, 0, offsets, context))
    figures.add("decode", cost_us(lambda: [open_event(record, 0, 0) for record in records], EVENTS), "µs an event")
    for name, step in STEPS:

        def run(step: Callable[..., None] = step) -> None:
            for event in events:
                step(event, context)

        figures.add(name, cost_us(run, EVENTS), "µs an event")
    figures.add("enrich, all steps", cost_us(lambda: enrich_batch(records, 0, offsets, context), EVENTS), "µs an event")
    return enriched_only(enrich_batch(records, 0, offsets, context))


def bench_cold(events: Sequence[EnrichedEvent], context: EnrichContext, figures: Figures) -> None:
    agents = sorted({event["user_agent"] for event in events})
    addresses = sorted({event["ip"] for event in events})
    urls = sorted({event["url"] for event in events})

    def each(function: Any, values: Sequence[str]) -> Callable[[], object]:
        def run() -> None:
            function.cache_clear()
            for value in values:
                function(value)

        return run

    figures.add("cold bot", cost_us(each(context.bots.name_of, agents), len(agents)), "µs a user agent")
    figures.add("cold browser", cost_us(each(browser_of, agents), len(agents)), "µs a user agent")
    figures.add("cold place", cost_us(each(context.geo.place_of, addresses), len(addresses)), "µs an address")
    figures.add("cold page", cost_us(each(page_of, urls), len(urls)), "µs a URL")


def flush(buckets: LiveBuckets, feed: LiveFeed, events: Sequence[EnrichedEvent]) -> list[tuple[str, dict[str, Any]]]:
    """What a consumer does per commit, without MongoDB."""
    documents = []
    for kind, fold in (("minutes", buckets), ("feed", feed)):
        fold.load(())
        fold.missing(events)
        fold.fold(events)
        documents += [(kind, document) for document in fold.documents()]
        fold.committed()
    return documents


def bench_fold(events: Sequence[EnrichedEvent], figures: Figures) -> None:
    figures.add("fold", cost_us(lambda: LiveBuckets(0).fold(events), EVENTS), "µs an event")
    figures.add(
        "fold, one busy minute", cost_us(lambda: LiveBuckets(0).fold(_in_one_minute(events)), EVENTS), "µs an event"
    )

    def flushes(size: int) -> Callable[[], object]:
        def run() -> None:
            buckets, feed = LiveBuckets(0), LiveFeed(0)
            for start in range(0, EVENTS, size):
                for _, document in flush(buckets, feed, events[start : start + size]):
                    bson.encode(document)

        return run

    figures.add("fold, feed, BSON per 250", cost_us(flushes(250), EVENTS, 2), "µs an event")
    figures.add("fold, feed, BSON per 2,500", cost_us(flushes(2_500), EVENTS, 2), "µs an event")
    busy = LiveBuckets(0)
    busy.fold(_in_one_minute(events))
    (document,) = busy.documents()
    figures.add("busy minute's document", len(bson.encode(document)) / 1000, "kB")
    figures.add("  writing it", cost_us(busy_documents(busy, document), 1), "µs a document")


def busy_documents(buckets: LiveBuckets, document: dict[str, Any]) -> Callable[[], object]:
    key = (document["_id"]["site"], document["_id"]["minute"])
    return lambda: bson.encode(buckets.documents([key])[0])


def _in_one_minute(events: Sequence[EnrichedEvent]) -> list[EnrichedEvent]:
    minute = NOW - NOW % MINUTE_MS - 10 * MINUTE_MS
    return [
        {**event, "event_time": minute + event["event_time"] % MINUTE_MS, "received_time": minute + MINUTE_MS}
        for event in events
    ]


def bench_view(context: EnrichContext, figures: Figures) -> None:
    """30 minutes of 4 partitions at 44 events/s; then a changed document and a snapshot, five times a second."""
    view = LiveView()
    newest: list[dict[str, Any]] = []
    documents = []
    for partition in range(4):
        records = payloads(partition, 31 * MINUTE_MS)
        buckets = LiveBuckets(partition, late_minutes=60)
        buckets.fold(enriched_only(enrich_batch(records, partition, range(EVENTS), context)))
        mine = buckets.documents()
        documents += mine
        newest.append(mine[-1])

    def load() -> None:
        for document in documents:
            view.apply("minutes", document)

    figures.add("view: apply", cost_us(load, len(documents), 1), "µs a document")
    figures.add("view: first snapshot", cost_us(lambda: view.snapshot("news", NOW), 1, 1) / 1000, "ms")

    def step() -> None:
        for document in newest:
            view.apply("minutes", document)
        view.snapshot("news", NOW)

    figures.add("view: 4 changes, snapshot", cost_us(step, 1) / 1000, "ms")
    moved = iter(range(1, 100))
    figures.add(
        "view: snapshot, new minute",
        cost_us(lambda: view.snapshot("news", NOW + next(moved) * MINUTE_MS), 1, 1) / 1000,
        "ms",
    )


def measure() -> Result:
    """All figures."""
    figures = Figures("enrich")
    started = time.process_time()
    context = EnrichContext.standard()
    figures.add("context, once a process", (time.process_time() - started) * 1000, "ms")
    events = bench_enrich(payloads(1, 5 * MINUTE_MS), context, figures)
    bench_cold(events, context, figures)
    bench_fold(events, figures)
    bench_view(context, figures)
    return figures.result()


if __name__ == "__main__":
    run(measure, keep=arguments(__doc__).parse_args().save)
