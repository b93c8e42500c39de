"""From a request's bytes to durable records: authenticate, bound, validate, pick the partition, batch, answer.

`accept.Ingest.accept` is the whole path in one function; `event.Event` is what a client may send and
`reason.Reason` why an event was refused.
"""
