"""Options that several commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from pistats.errors import FinalError

T = TypeVar("T")


def refusing(check: Callable[[T], object]) -> Callable[[T | None], T | None]:
    """A callback that makes what `check` refuses a mistake in the command line: exit 2, before anything is done."""

    def callback(value: T | None) -> T | None:
        try:
            if value is not None:
                check(value)
        except FinalError as error:
            raise typer.BadParameter(str(error)) from error
        return value

    return callback


def _check_position(text: str) -> None:
    from pistats.stream.position import parse_position  # here, because not every command needs it

    parse_position(text)


DataOption = Annotated[
    Path,
    typer.Option(
        "--data",
        envvar="PISTATS_DATA",
        help="The system's data directory.",
        file_okay=False,
        rich_help_panel="Which system",
    ),
]
DEFAULT_DATA = Path(".pistats")
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
PositionOption = Annotated[
    str,
    typer.Option(
        "--from",
        help="trim-horizon, latest, offset:N, after:N or time:2026-11-23T10:00:00Z.",
        callback=refusing(_check_position),
    ),
]
