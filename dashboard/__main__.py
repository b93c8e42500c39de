"""`python -m dashboard`."""

from dashboard.run import main

main()
