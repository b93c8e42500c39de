"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

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
