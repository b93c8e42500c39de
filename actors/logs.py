"""Where what the processes of a cluster have to say ends up: the log files that Ray keeps for each of them."""

import logging

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def log_to_ray(level: int = logging.INFO) -> None:
    """Write this process's log to its standard error, which Ray keeps in a file. May be repeated."""
    logging.basicConfig(level=level, format=FORMAT)
    logging.getLogger("pymongo").setLevel(logging.WARNING)
