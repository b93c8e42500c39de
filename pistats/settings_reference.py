"""`docs/SETTINGS.md`, made from the settings themselves: `python -m pistats.settings_reference > docs/SETTINGS.md`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pistats.settings import Section, Settings

HEADER = """# Settings

Made from `pistats/settings.py` by `make reference`. Order, later wins: the defaults below < `pistats.toml` (in the
working directory, then in the data directory) < `PISTATS_*` in the environment < flags of the command line.
`stream.partitions` is `partitions` under `[stream]` in the file, and `PISTATS_STREAM__PARTITIONS` in the environment.
Names end in their unit: `_s` seconds, `_ms` milliseconds, `_bytes`, `_events`. A list is JSON in the environment:
`PISTATS_INGEST__TRUSTED_PROXIES='["10.0.0.0/8"]'`.
"""


def reference() -> str:
    """The whole page, in Markdown."""
    parts = [HEADER]
    own = {name: field for name, field in Settings.model_fields.items() if _section(field) is None}
    parts.append(_table("Everywhere", "", own))
    for name, field in Settings.model_fields.items():
        section = _section(field)
        if section is not None:
            parts.append(_table(f"`[{name}]` {section.__doc__}", f"{name}.", section.model_fields))
    return "\n".join(parts)


def _section(field: FieldInfo) -> type[BaseModel] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def _table(title: str, prefix: str, fields: dict[str, FieldInfo]) -> str:
    return "\n".join(
        [
            f"## {title}",
            "",
            "| setting | default | what, and why this default |",
            "|---|---|---|",
            *_rows(prefix, fields),
            "",
        ]
    )


def _rows(prefix: str, fields: dict[str, FieldInfo]) -> Iterator[str]:
    for name, field in fields.items():
        yield f"| `{prefix}{name}` | {_shown(field.default)} | {field.description} |"


def _shown(default: Any) -> str:
    """The value as `pistats.toml` and, for lists, the environment have it; texts without their quotes."""
    if default is None:
        return "unset"
    plain = str(default) if isinstance(default, Path | str) else orjson.dumps(default).decode()
    return f"`{plain}`"


if __name__ == "__main__":
    print(reference(), end="")
