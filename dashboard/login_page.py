"""The login page: plain HTML that needs nothing else. What the next page needs is fetched while someone types."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template
from urllib.parse import parse_qs, quote, urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from dashboard import colours

ASSETS = Path(__file__).parent / "assets"

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
"""No script can run here. `font-src`: a browser fetches ahead what any one directive lets it load."""

PROVIDER = '<div class="or">or</div><a class="provider" href="{href}">Continue with {name}</a>'


def form(
    target: str,
    message: str = "",
    status: int = 200,
    headers: dict[str, str] | None = None,
    provider: str | None = None,
    early: Sequence[str] = (),
) -> Response:
    """The page with the password field; `message` says what went wrong, `provider` names another way in.

    `early`: paths of files that the browser may fetch meanwhile.
    """
    page = Template((ASSETS / "login.html").read_text("utf-8"))
    back = f"next={quote(target, safe='')}"
    other = PROVIDER.format(href=escape(f"/login/oidc?{back}"), name=escape(provider)) if provider else ""
    html = page.substitute(
        colours=colours.SHEET,
        action=escape(f"/login?{back}"),
        message=escape(message),
        provider=other,
        early="\n".join(f'<link rel="prefetch" href="{escape(path)}">' for path in early),
    )
    return HTMLResponse(html, status, headers=_headers(headers))


def starting() -> Response:
    """Shown until MongoDB has answered once; reloads itself."""
    html = Template((ASSETS / "starting.html").read_text("utf-8")).substitute(colours=colours.SHEET)
    return HTMLResponse(html, 503, headers=_headers({"retry-after": "2"}))


def redirect(request: Request) -> Response:
    """To the login page, with the way back."""
    target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"/login?next={quote(target, safe='')}", 303, headers={"cache-control": "no-store"})


def local_target(target: str | None) -> str:
    """The path to return to: only ever a path of this server, else `/`."""
    if not target or not target.startswith("/") or target[1:2] in ("/", "\\") or not target.isprintable():
        return "/"
    parts = urlsplit(target)
    return "/" if parts.scheme or parts.netloc or parts.path.startswith(("/login", "/share/")) else target


async def posted_password(request: Request, max_bytes: int) -> str:
    """The password field of the posted form; empty when there is none or when the body is longer than a login."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            return ""
    try:
        fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=10)
    except ValueError:
        return ""
    return fields.get("password", [""])[0]


def _headers(more: dict[str, str] | None) -> dict[str, str]:
    return {"cache-control": "no-store", "content-security-policy": POLICY, **(more or {})}
