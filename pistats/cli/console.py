"""The terminal that commands print to."""

from typing import Any

from rich import console


class Console(console.Console):
    """Rich's, without emoji: an id as `0:1234:` or a page's address shall be printed as it is."""

    def __init__(self, **given: Any) -> None:
        super().__init__(emoji=False, **given)
