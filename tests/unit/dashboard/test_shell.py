"""The document of a page is ours before Streamlit's script runs."""

import re
from pathlib import Path

import streamlit

from dashboard.shell import ASSETS, PATHS, policy, shell


def test_streamlits_document_gets_our_name_and_measures() -> None:
    original = (Path(streamlit.__file__).parent / "static" / "index.html").read_text("utf-8")
    document = shell(original)
    assert "<title>piStats</title>" in document
    assert "favicon" not in document
    assert (ASSETS / "shell.css").read_text("utf-8") in document.partition("</head>")[0]
    assert re.findall(r'src="[^"]+"', document) == re.findall(r'src="[^"]+"', original)


def test_a_page_runs_its_own_scripts_and_no_text_that_gets_into_it() -> None:
    said = policy("<script>one()</script><script src='x'></script><script>two()</script>")
    scripts = next(part for part in said.split("; ") if part.startswith("script-src"))
    assert scripts == (
        "script-src 'self' blob: 'sha256-HR7iaask9daLMRRskMI++QeJtjWDOjyPA6lGzYGzKW4=' "
        "'sha256-iMrPAWirDC2X0OhZzLsM2MRIWSmepJGI4r7D8ZlwBOw='"
    )
    assert "default-src 'self'" in said


def test_every_page_has_it() -> None:
    main = (ASSETS.parent / "main.py").read_text("utf-8")
    pages = re.findall(r'"([a-z-]+)", (?:EVERYONE|PEOPLE|ADMINS)\)', main)
    assert ("/", *(f"/{path}" for path in pages[1:])) == PATHS
