"""History: enriched events as Parquet files listed in a manifest, the chunks that are not archived yet, and DuckDB."""
