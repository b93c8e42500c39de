"""The document of every page: Streamlit's own, with our name, icon and measures before its first script has run.

Without them the window shows Streamlit's title and a narrow column on white, and everything moves when ours arrive.
"""

import re
from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import streamlit
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

from dashboard import colours

ASSETS = Path(__file__).parent / "assets"

PATHS = ("/", "/history", "/retention", "/funnel", "/visitor", "/operations", "/site-settings")
"""The pages of `main.py`. A path that is missing here works, and jumps."""

TITLE, OWN_TITLE = "<title>Streamlit</title>", "<title>piStats</title>"
FAVICON = '<link rel="shortcut icon" href="./favicon.png" />'

EARLY = ("BidiComponent", "ButtonGroup", "Selectbox")
"""Scripts of Streamlit that most pages need. It asks for each when the first such element has come, one after the
other; until then something of another size stands in its place."""

IMPORTED = re.compile(r'(?:from|import)"\./([\w.-]+\.js)"')
"""What a built script names of others without which it does not run."""

ASKED = re.compile(r'(?:href|src)="\.(/static/[\w./-]+)"')


def document() -> str:
    """The document of every page."""
    static = Path(streamlit.__file__).parent / "static"
    return shell((static / "index.html").read_text("utf-8"), early_scripts(static / "static" / "js"))


def early_scripts(scripts: Path) -> list[str]:
    """The names of `EARLY` and of everything that they import: a browser preloads only what is named."""
    found: set[str] = set()
    waiting = [path.name for name in EARLY for path in scripts.glob(f"{name}.*.js")]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += IMPORTED.findall((scripts / name).read_text("utf-8"))
    return sorted(found)


def files(document: str) -> tuple[str, ...]:
    """The paths of the files of Streamlit that the document asks for: scripts, a style sheet, a font."""
    return tuple(dict.fromkeys(ASKED.findall(document)))


def routes(document: str) -> list[Route]:
    """What answers a browser that opens a page. Everything that the document asks for comes from Streamlit."""
    headers = {"cache-control": "no-cache", "content-security-policy": policy(document)}

    async def show(_request: Request) -> HTMLResponse:
        return HTMLResponse(document, headers=headers)

    return [Route(path, show) for path in PATHS]


def shell(document: str, early: Sequence[str] = ()) -> str:
    """Streamlit's document with what is ours in it. What a newer one does not have is left as it is."""
    style = f"<style>\n{colours.SHEET}{(ASSETS / 'shell.css').read_text('utf-8')}</style>"
    known = files(document)
    links = [
        f'<link rel="modulepreload" crossorigin href="./static/js/{name}">'
        for name in early
        if f"/static/js/{name}" not in known
    ]
    script = f"<script>{(ASSETS / 'session.js').read_text('utf-8')}</script>"
    ours = "\n".join([style, script, *links, "</head>"])
    return document.replace(TITLE, OWN_TITLE).replace(FAVICON, "").replace("</head>", ours, 1)


def policy(document: str) -> str:
    """What a page may load and run: this server's files, the scripts that stand in the document, and our elements.

    Streamlit makes a `blob:` of an element's script. Whatever text of an event gets into a page can neither run nor
    send anything elsewhere. Styles are Streamlit's way of drawing, and cannot be told apart.
    """
    scripts = re.findall(r"<script>(.*?)</script>", document, re.DOTALL)
    known = (f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" for script in scripts)
    return "; ".join(
        (
            "default-src 'self'",
            " ".join(("script-src 'self' blob:", *known)),
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            "object-src 'none'",
            "base-uri 'self'",
            "form-action 'self'",
            "frame-ancestors 'self'",
        )
    )
