"""Sending events to the ingest endpoint: one way for files (`pistats send`) and for load (`pistats simulate`)."""
