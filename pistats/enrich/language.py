"""The language of a visitor's browser."""

from functools import lru_cache


@lru_cache(maxsize=1_024)
def language_of(language: str) -> str | None:
    """The first tag of a language list in its usual writing: `EN_us,de;q=0.8` is `en-US`; None when it is none."""
    tag = language.split(",", 1)[0].split(";", 1)[0].strip().replace("_", "-")
    primary, *rest = tag.split("-")
    if not (primary.isascii() and primary.isalpha() and 2 <= len(primary) <= 3):
        return None
    regions = [part.upper() for part in rest if len(part) == 2 and part.isascii() and part.isalpha()]
    return "-".join([primary.lower(), *regions[:1]])
