"""Simulated visitors: a deterministic stream of realistic events, and the load generator that sends it."""
