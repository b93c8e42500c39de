"""The command line: `pistats`. Each command is a module; this one only turns errors into messages."""

import re
import sys
import tomllib
from typing import TYPE_CHECKING, NoReturn

import typer

from pistats.cli.commands import Commands
from pistats.errors import PistatsError

if TYPE_CHECKING:
    from pydantic import ValidationError

FAILED = 1
"""Exit code of a command that could not do its work; wrong usage is 2, as everywhere."""
INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 + SIGINT, as shells have it."""

app = typer.Typer(
    cls=Commands,
    name="pistats",
    help="Self-hosted, real-time clickstream analytics: no acknowledged event is lost or counted twice.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_show_locals=False,
)
app.callback()(lambda: None)  # makes it a group; `Commands` knows what is in it


def main() -> None:
    """Run one command. Errors that piStats knows are one readable line on standard error, not a traceback."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:
        message = _message_of(error)
        if message is None:
            raise
        _fail(message)


def _message_of(error: Exception) -> str | None:
    """None for an error that only a traceback explains."""
    from pydantic import ValidationError  # here, because `pistats --help` needs neither
    from pymongo.errors import ConnectionFailure, PyMongoError

    if isinstance(error, ValidationError):
        return f"a setting cannot be used: {_settings_at_fault(error)}. docs/SETTINGS.md lists them all"
    if isinstance(error, tomllib.TOMLDecodeError):
        return f"pistats.toml cannot be read: {error}"
    if isinstance(error, ConnectionFailure):
        # The driver adds its timeouts and all that it knows of the replica set.
        reason = re.split(r" \(configured timeouts|, Timeout: ", str(error))[0]
        return (
            f"MongoDB does not answer: {reason}. `pistats up` starts its own mongod again within seconds, and "
            "`mongod/mongod.log` in the data directory has its last words; one of yours has to be reachable from here."
        )
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error) if isinstance(error, PistatsError | PyMongoError | OSError) else None


def _fail(message: str) -> NoReturn:
    from pistats.cli.console import Console

    Console(stderr=True, style="red").print(f"error: {message}", markup=False, highlight=False, soft_wrap=True)
    sys.exit(FAILED)


def _settings_at_fault(error: "ValidationError") -> str:
    """Names and reasons. Not the values: one of them may hold a password."""
    return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
