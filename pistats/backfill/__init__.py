"""Past events from files, straight into the warehouse: NDJSON and web servers' access logs."""
