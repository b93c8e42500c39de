"""The document of a page is ours before Streamlit's script runs."""

import re
from pathlib import Path

import streamlit

from dashboard.shell import ASSETS, IMPORTED, PATHS, document, early_scripts, files, policy, shell


def test_streamlits_document_gets_our_name_and_measures() -> None:
    original = (Path(streamlit.__file__).parent / "static" / "index.html").read_text("utf-8")
    ours = shell(original)
    assert "<title>piStats</title>" in ours
    assert "favicon" not in ours
    assert (ASSETS / "shell.css").read_text("utf-8") in ours.partition("</head>")[0]
    assert re.findall(r'src="[^"]+"', ours) == re.findall(r'src="[^"]+"', original)


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


def test_a_page_asks_at_once_for_every_script_that_its_early_ones_import(tmp_path: Path) -> None:
    (tmp_path / "Selectbox.abc.js").write_text('import{t as e}from"./menu.js";import"./side.js";import(`./later.js`)')
    (tmp_path / "menu.js").write_text('import{a}from"./keys.js";export{a}from"./side.js"')
    for name in ("keys.js", "side.js", "later.js"):
        (tmp_path / name).write_text("")
    assert early_scripts(tmp_path) == ["Selectbox.abc.js", "keys.js", "menu.js", "side.js"]

    asked = files(document())
    assert len(asked) == len(set(asked))
    static = Path(streamlit.__file__).parent / "static"
    for path in asked:
        assert (static / path.lstrip("/")).is_file(), path
        if path.endswith(".js"):
            imported = IMPORTED.findall((static / path.lstrip("/")).read_text("utf-8"))
            assert {f"/static/js/{name}" for name in imported} <= set(asked), path
