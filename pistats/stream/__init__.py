"""The partitioned log that holds every acknowledged event: durable, ordered, replayable, each event id once.

The way of a batch: `partition` (queue, group commit) → `admission` (what is new) → `frame` (bytes) →
`file_log` or `mongo_log` (durable) → `partition` answers. `docs/LOG_FORMAT.md` specifies the bytes.
"""
