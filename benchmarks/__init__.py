"""What piStats costs and carries. `python -m benchmarks` runs everything; see README.md for figures."""
