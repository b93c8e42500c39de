"""The pages made from the code are those of this code, and what people rely on by name is on a page."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import BaseModel

from pistats.cli import app
from pistats.glossary import GLOSSARY
from pistats.ingest import problem
from pistats.ingest.reason import Reason
from pistats.settings import Settings
from pistats.settings_reference import reference

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
TITLE = "The command line"


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def commands(group: Any, prefix: str) -> Iterator[str]:
    for name, command in group.commands.items():
        yield f"{prefix} {name}"
        if hasattr(command, "commands"):
            yield from commands(command, f"{prefix} {name}")


def settings_of(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from settings_of(kind, f"{name}.")
        else:
            yield prefix + name


def first_column(text: str) -> list[str]:
    """What stands in backticks at the start of the rows of a table."""
    return re.findall(r"^\| `([^`]+)`", text, re.MULTILINE)


def section(text: str, heading: str) -> str:
    found = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)", text, re.MULTILINE | re.DOTALL)
    assert found is not None, heading
    return found.group(1)


def test_the_command_reference_is_that_of_this_code(tmp_path: Path) -> None:
    made = tmp_path / "CLI.md"
    command = [sys.executable, "-m", "typer", "pistats.cli", "utils", "docs", "--name", "pistats", "--title", TITLE]

    subprocess.run([*command, "--output", str(made)], cwd=ROOT, check=True, capture_output=True)

    assert made.read_text(encoding="utf-8") == page("CLI.md"), "run `make reference` and commit docs/CLI.md"


def test_the_settings_reference_is_that_of_this_code() -> None:
    assert reference() == page("SETTINGS.md"), "run `make reference` and commit docs/SETTINGS.md"


@pytest.mark.parametrize("command", list(commands(typer.main.get_command(app), "pistats")))
def test_every_command_is_documented(command: str) -> None:
    assert section(page("CLI.md"), f"`{command}`").strip()


def test_every_setting_is_documented() -> None:
    assert first_column(page("SETTINGS.md")) == list(settings_of(Settings))


def test_every_setting_says_what_and_why() -> None:
    rows = re.findall(r"^\| `[^`]+` \| [^|]+ \| (.*) \|$", page("SETTINGS.md"), re.MULTILINE)

    assert len(rows) == len(list(settings_of(Settings)))
    assert all(len(text) > 20 for text in rows)


def test_every_reason_is_documented() -> None:
    rows = first_column(section(page("INGEST.md"), "Why an event is rejected"))

    assert rows == [reason.value for reason in Reason]


def test_every_problem_is_documented_with_its_status() -> None:
    kinds = [kind for kind in vars(problem).values() if isinstance(kind, problem.ProblemKind)]
    text = section(page("INGEST.md"), "Why a request is refused")

    rows = dict(re.findall(r"^\| `(/problems/[^`]+)` \| (\d+) \|", text, re.MULTILINE))

    assert rows == {kind.type: str(kind.status) for kind in kinds}


@pytest.mark.parametrize("key", list(GLOSSARY))
def test_every_term_of_the_pages_is_in_the_glossary(key: str) -> None:
    term = GLOSSARY[key]

    assert f"| {term.name} | {term.definition} |" in page("GLOSSARY.md").splitlines()
