"""`python -m pistats`: the same as `pistats`."""

from pistats.cli import main

main()
