"""The query API: `/api/v1`, one FastAPI application over the report functions of the core."""
