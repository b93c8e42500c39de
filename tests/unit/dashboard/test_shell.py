"""The document of a page is ours before Streamlit's script runs."""

import re
from pathlib import Path

import streamlit

from dashboard.shell import ASSETS, PATHS, shell


def test_streamlits_document_gets_our_name_and_measures() -> None:
    original = (Path(streamlit.__file__).parent / "static" / "index.html").read_text("utf-8")
    document = shell(original)
    assert "<title>piStats</title>" in document
    assert "favicon" not in document
    assert (ASSETS / "shell.css").read_text("utf-8") in document.partition("</head>")[0]
    assert re.findall(r'src="[^"]+"', document) == re.findall(r'src="[^"]+"', original)


def test_every_page_has_it() -> None:
    main = (ASSETS.parent / "main.py").read_text("utf-8")
    pages = re.findall(r'"([a-z-]+)", (?:EVERYONE|PEOPLE|ADMINS)\)', main)
    assert ("/", *(f"/{path}" for path in pages[1:])) == PATHS
