"""The commands are loaded one by one; `pistats --help` loads none."""

import subprocess
import sys

import pytest

from pistats.cli.commands import COMMANDS, load


@pytest.mark.parametrize("name", COMMANDS)
def test_the_summary_is_the_first_paragraph_of_the_commands_help(name: str) -> None:
    assert " ".join(load(name).help.split("\n\n")[0].split()) == COMMANDS[name].summary


def test_help_loads_no_command() -> None:
    code = (
        "import sys; from pistats.cli import app; app(['--help'], standalone_mode=False);"
        " print([name for name in ('pymongo', 'pyarrow', 'pistats.settings') if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert all(name in shown for name in COMMANDS)
    assert shown.splitlines()[-1] == "[]"
