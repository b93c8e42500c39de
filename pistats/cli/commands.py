"""All commands by name. Only the module of the one that runs is loaded: all together take three seconds."""

from collections.abc import Iterator, MutableMapping
from copy import copy
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup


@dataclass(frozen=True, slots=True)
class Place:
    """Where a command is: a function, or a group of commands. The summary is its help's first paragraph."""

    module: str
    name: str
    summary: str


COMMANDS = {
    "up": Place(
        "up", "up", "Run the whole system on this machine, in the foreground. Prints `ready` when everything serves."
    ),
    "deploy": Place(
        "deploy", "deploy", "Put piStats on an existing Ray cluster. May be repeated: what runs already is left alone."
    ),
    "status": Place(
        "status",
        "status",
        "Show partitions, offsets, lag, consumers and the ledger. Exit 1 when something is not well.",
    ),
    "doctor": Place(
        "doctor",
        "doctor",
        "Check this machine: Python, mongod, ports, data directory, disk, memory, browser. Says how to mend each. "
        "Exit 1 when unfit.",
    ),
    "send": Place("send", "send", "Send events from a file. May be repeated: nothing is stored twice."),
    "simulate": Place(
        "simulate",
        "simulate",
        "Send what realistic visitors would: sessions from many countries, sources and devices, "
        "and a topic that trends.",
    ),
    "replay": Place(
        "replay", "replay", "Replay the log into a shadow group beside the live one, which goes on undisturbed."
    ),
    "export": Place("export", "export", "Write every enriched event of some days, up to the second, bots included."),
    "reset-password": Place(
        "reset_password",
        "reset_password",
        "Make a new password for the dashboard and print it, once. Who is signed in by it has to sign in again.",
    ),
    "import": Place(
        "import_",
        "import_",
        "Import past events from a file, straight into the warehouse. May be repeated: nothing is imported twice.",
    ),
    "site": Place("site", "site_commands", "The sites that may send events, and their keys."),
    "stream": Place("stream", "stream_commands", "Look into the stream that holds every acknowledged event."),
    "group": Place("group", "group_commands", "Consumer groups: list them, switch the readers, drop one."),
    "dead-letters": Place(
        "dead_letters", "dead_letter_commands", "Events that could not be enriched, kept to be redone."
    ),
    "job": Place(
        "job",
        "job_commands",
        "Batch jobs over the warehouse. They run by themselves at their times; run one now, or look at the last runs.",
    ),
}
"""In the order of `pistats --help`."""


def load(name: str) -> Any:
    """The command, ready to run."""
    place = COMMANDS[name]
    found = getattr(import_module(f"pistats.cli.{place.module}"), place.name)
    holder = typer.Typer(add_completion=False, rich_markup_mode="rich")
    if isinstance(found, typer.Typer):
        holder.add_typer(found, name=name)
    else:
        holder.command(name)(found)
    return typer.main.get_group(holder).commands[name]


class _Loaded(MutableMapping[str, Any]):
    """The commands as Typer keeps them; each is loaded when it is asked for."""

    def __init__(self) -> None:
        self._commands: dict[str, Any] = dict.fromkeys(COMMANDS)

    def __getitem__(self, name: str) -> Any:
        if self._commands[name] is None:
            self._commands[name] = load(name)
        return self._commands[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._commands[name] = command

    def __delitem__(self, name: str) -> None:
        del self._commands[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._commands)

    def __len__(self) -> int:
        return len(self._commands)


class Commands(TyperGroup):
    """`pistats` itself: the group of all commands."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.commands = _Loaded()

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """By the summaries, without loading a command."""
        listed = copy(self)
        listed.commands = {name: TyperCommand(name, help=place.summary) for name, place in COMMANDS.items()}
        super(Commands, listed).format_help(ctx, formatter)
