"""What the pages say can be followed: links lead somewhere, command lines parse, nothing names the author's machine."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import typer

from pistats.cli import app

ROOT = Path(__file__).parents[3]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"")
FENCE = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*`")
COMMAND = re.compile(r"^(?:\$ )?(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?pistats (.*)$")
SHELL = {"|", ">", "&&", "&", ";", ">>"}

ELSEWHERE = re.compile(
    r"(?<![\w.])/(?:home|root|Users|work|workspace)/\w"  # somebody's home or checkout
    r"|https?://[^\s\"')>]*(?:/simple\b|registry\.|/npm/|pypi)"  # where packages were fetched from
    r"|--(?:extra-)?index-url[ =]http|--find-links[ =]\S*[/:]"
)
TEXT_LIMIT_BYTES = 5_000_000


def tracked() -> list[Path]:
    """The files of the repository, also those not committed yet."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: the files of the repository cannot be listed")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    names = listed.stdout.decode().split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def markdown() -> list[Path]:
    """The pages that people read: beside the sources, and under docs/ and benchmarks/."""
    return [ROOT / "README.md", ROOT / "CHANGELOG.md", *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/*.md")]


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as the common forges make them."""
    found = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in found}


def links() -> list[Any]:
    found = []
    for page in markdown():
        text = CODE.sub("", FENCE.sub("", page.read_text(encoding="utf-8")))
        for match in LINK.finditer(text):
            target = match[1] or match[2]
            if not re.match(r"[a-z]+:", target):
                found.append(pytest.param(page, target, id=f"{page.relative_to(ROOT)}: {target}"))
    return found


def command_lines() -> list[Any]:
    found = []
    for page in markdown():
        if page.name == "CLI.md":
            continue  # made from the commands themselves, with their syntax in place of arguments
        for block in FENCE.findall(page.read_text(encoding="utf-8")):
            lines = block.replace("\\\n", " ").splitlines()
            commands = [
                match[1] for line in lines for part in line.split(" | ") if (match := COMMAND.match(part.strip()))
            ]
            found += [pytest.param(one, id=f"{page.name}: {one}") for one in commands]
    return found


@pytest.mark.parametrize(("page", "target"), links())
def test_a_relative_link_leads_to_a_file_and_heading(page: Path, target: str) -> None:
    path, _, anchor = unquote(target).partition("#")
    file = (page.parent / path).resolve() if path else page

    assert file.exists(), f"{file} doesn't exist"
    if anchor and file.suffix == ".md":
        assert anchor in anchors(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("line", command_lines())
def test_a_command_line_of_the_pages_parses(line: str, tmp_path: Path) -> None:
    words = shlex.split(line, comments=True)
    end = next((index for index, word in enumerate(words) if word in SHELL), len(words))
    command: Any = typer.main.get_command(app)
    words = [str(tmp_path) if word.startswith(("/", ".pistats/")) else word for word in words[:end]]  # paths exist

    while hasattr(command, "commands"):
        assert words[0] in command.commands, f"there is no command {words[0]}"
        command, words = command.commands[words[0]], words[1:]

    command.make_context("pistats", words)  # raises on an unknown option and on what is missing


def test_the_pages_show_command_lines() -> None:
    assert len(command_lines()) > 10


def test_no_file_names_a_machine_or_a_registry() -> None:
    found = []
    for file in tracked():
        content = file.read_bytes()
        if b"\0" in content[:8_000] or len(content) > TEXT_LIMIT_BYTES or file == Path(__file__):
            continue
        text = content.decode("utf-8", "replace")
        found += [f"{file.relative_to(ROOT)}: {match[0]}" for match in ELSEWHERE.finditer(text)]
        if str(ROOT) in text and len(ROOT.parts) > 2:
            found.append(f"{file.relative_to(ROOT)}: {ROOT}")

    assert found == []


def test_the_pictures_are_small() -> None:
    pictures = list((ROOT / "docs" / "images").glob("*"))

    assert pictures
    assert all(picture.stat().st_size <= 200_000 for picture in pictures)
