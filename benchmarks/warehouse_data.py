"""Events by the million for the warehouse's benchmarks, made by DuckDB straight into the warehouse's own files.

A visitor has sessions of about six events, 20 seconds apart; 20,000 pages and 300 sources by their popularity. No event
goes through the stream: what is measured here begins with the files.
"""

from datetime import UTC, date, datetime, timedelta

import duckdb

from pistats.clock import now_ms
from pistats.mongo.indexes import Database
from pistats.warehouse.manifest import Manifest, WarehouseFile
from pistats.warehouse.parquet import FILE_SCHEMA, write_rows
from pistats.warehouse.storage import Storage

DAY_MS = 86_400_000
SESSION_EVENTS = 6
PARTS = 16
"""Bucket ranges that are made one after the other, so that a big day fits into memory."""

ROWS_SQL = """
WITH sessions AS (
    SELECT s, $low + (hash(s, 'b') % $width)::INTEGER AS bucket, hash(s, 'v') % $visitors AS v,
           $start + (hash(s, 't') % 86000000)::BIGINT AS began, hash(s, 'x') AS x
    FROM range($sessions) AS t(s)
), rows AS (
    SELECT *, n, hash(s, n) AS h, began + n * 20000 + (hash(s, n) % 15000)::BIGINT AS happened
    FROM sessions, range($session_events) AS e(n)
)
SELECT $site AS site, (bucket % 2)::INTEGER AS partition, s * $session_events + n AS "offset", NULL AS event_id,
       CASE WHEN n % 3 = 2 THEN 'engagement' WHEN h % 40 = 0 THEN 'purchase' ELSE 'page_view' END AS name,
       format('{:02x}{:030x}', bucket, v) AS visitor_id, NULL AS user_id, NULL AS session_id,
       happened AS time, happened AS sent_at, happened + 80 AS received_time, happened AS event_time,
       'https://news.example/a' AS url, 'news.example' AS host,
       CASE WHEN h % 7 = 0 THEN '/sport/' ELSE '/news/' END
           || floor(20000 * pow((h % 100000) / 100000.0, 3))::INTEGER AS path,
       'news' AS section, NULL AS title, NULL AS entry_page, NULL AS exit_page, NULL AS referrer,
       CASE WHEN n = 0 AND x % 3 > 0 THEN 'source' || (x % 300) END AS source, NULL AS medium,
       CASE WHEN n = 0 AND x % 9 = 0 THEN 'campaign' || (x % 40) END AS campaign, NULL AS term, NULL AS content,
       CASE WHEN n = 0 THEN CASE WHEN x % 3 = 0 THEN 'Direct' ELSE 'Search' END END AS channel, NULL AS search_term,
       'Mozilla/5.0' AS user_agent, x % 50 = 0 AS is_bot, NULL AS bot_name, 'Chrome' || (x % 12) AS browser,
       '126' AS browser_version, 'OS' || (x % 6) AS os, NULL AS os_version,
       CASE WHEN x % 4 = 0 THEN 'desktop' ELSE 'mobile' END AS device, '10.1.2.0' AS ip, 'C' || (x % 60) AS country,
       NULL AS region, NULL AS city, 'en-' || (x % 20) AS language, '390x844' AS screen,
       CASE WHEN n % 3 = 2 THEN '{"engaged_ms":' || (h % 20000) || '}' END AS properties,
       uuid() AS event_uuid, 1 AS event_form, bucket
FROM rows WHERE happened < $start + 86400000
ORDER BY bucket, visitor_id, event_time, "offset"
"""


async def make_days(
    group: Database, storage: Storage, group_name: str, site: str, first: date, days: int, *, events: int, visitors: int
) -> int:
    """List files of so many events in all, spread over the days, and mark the dates; the bytes on disk.

    `visitors`: different ones in all; each comes back on some of the days.
    """
    files = []
    for number in range(days):
        day = first + timedelta(days=number)
        start = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
        parts = PARTS if events // days > 2_000_000 else 1
        for part in range(parts):
            files.append(
                _file(storage, group_name, site, day, start, number * parts + part, parts, events // days, visitors)
            )
    manifest = Manifest(group)
    async with group.client.start_session() as session, await session.start_transaction():
        await manifest.add(files, session)
    return sum(file.bytes for file in files)


def _file(
    storage: Storage, group: str, site: str, day: date, start: int, seed: int, parts: int, events: int, visitors: int
) -> WarehouseFile:
    width = 64 // parts
    low = seed % parts * width
    with duckdb.connect(config={"threads": 2, "arrow_lossless_conversion": True}) as connection:
        rows = (
            connection.sql(
                ROWS_SQL.replace("hash(s,", f"hash(s + {seed * 100_000_000}::BIGINT,"),
                params={
                    "low": low,
                    "width": width,
                    "visitors": max(1, visitors // parts),
                    "sessions": events // parts // SESSION_EVENTS,
                    "session_events": SESSION_EVENTS,
                    "start": start,
                    "site": site,
                },
            )
            .to_arrow_table()
            .select(FILE_SCHEMA.names)
        )
    rows = rows.cast(FILE_SCHEMA)
    path = f"{group}/site={site}/date={day}/bucket={low:02}-{low + width - 1:02}/made-{seed}.parquet"
    size = write_rows(storage, path, [rows])
    return WarehouseFile(
        path=path,
        site=site,
        date=day.isoformat(),
        buckets=(low, low + width - 1),
        rows=rows.num_rows,
        bytes=size,
        min_event_time=start,
        max_event_time=start + DAY_MS - 1,
        run_id="made",
        origin="import",
        created_time=now_ms(),
    )
