"""Batch jobs, each runnable with `ray job submit -- python -m jobs.NAME`: shells over the core."""
