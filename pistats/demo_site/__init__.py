"""A small news site with the tracker: `python -m pistats.demo_site`. Simulated visitors read its articles too."""
