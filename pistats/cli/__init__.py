"""The command line: `pistats`. Each command is a module; this one only lists them and turns errors into messages."""

import sys
import tomllib
from typing import NoReturn

import typer
from pydantic import ValidationError
from pymongo.errors import PyMongoError
from rich.console import Console

from pistats.cli.dead_letters import dead_letter_commands
from pistats.cli.deploy import deploy
from pistats.cli.doctor import doctor
from pistats.cli.export import export
from pistats.cli.group import group_commands
from pistats.cli.import_ import import_
from pistats.cli.job import job_commands
from pistats.cli.replay import replay
from pistats.cli.reset_password import reset_password
from pistats.cli.send import send
from pistats.cli.simulate import simulate
from pistats.cli.site import site_commands
from pistats.cli.status import status
from pistats.cli.stream import stream_commands
from pistats.cli.up import up
from pistats.errors import PistatsError

FAILED = 1
"""Exit code of a command that could not do its work; wrong usage is 2, as everywhere."""
INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 + SIGINT, as shells have it."""

app = typer.Typer(
    name="pistats",
    help="Self-hosted, real-time clickstream analytics: no acknowledged event is lost or counted twice.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_show_locals=False,
)
for command in (up, deploy, status, doctor, send, simulate, replay, export, reset_password):
    app.command()(command)
app.command("import")(import_)
app.add_typer(site_commands, name="site")
app.add_typer(stream_commands, name="stream")
app.add_typer(group_commands, name="group")
app.add_typer(dead_letter_commands, name="dead-letters")
app.add_typer(job_commands, name="job")


def main() -> None:
    """Run one command. Errors that piStats knows are one readable line on standard error, not a traceback."""
    try:
        app()
    except ValidationError as error:
        _fail(f"a setting cannot be used: {_settings_at_fault(error)}. docs/SETTINGS.md lists them all")
    except tomllib.TOMLDecodeError as error:
        _fail(f"pistats.toml cannot be read: {error}")
    except (PistatsError, PyMongoError, OSError) as error:
        _fail(str(error))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _fail(message: str) -> NoReturn:
    Console(stderr=True, style="red").print(f"error: {message}", markup=False, highlight=False, soft_wrap=True)
    sys.exit(FAILED)


def _settings_at_fault(error: ValidationError) -> str:
    """Names and reasons. Not the values: one of them may hold a password."""
    return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
