"""Sign-in by OpenID Connect: Streamlit's own `st.login` routes do the dance, the gate takes their result over.

`/login/oidc` leads to Streamlit's `/auth/login`, which leads to the provider and back to `/oauth2callback`; state,
nonce, PKCE and the token's signature are checked there, by Authlib. What is left is a signed cookie with the
provider's claims. The gate turns it into a sign-in of its own, which expires and has a role, and takes it away.
"""

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.responses import RedirectResponse, Response
from streamlit.auth_util import encode_provider_token, get_cookie_with_chunks
from streamlit.web.server.starlette.starlette_app_utils import decode_signed_value
from streamlit.web.server.starlette.starlette_server_config import TOKENS_COOKIE_NAME, USER_COOKIE_NAME

from dashboard.sign_in import Role, oidc_role
from pistats.settings import DashboardSettings, OidcSettings

START = "/login/oidc"
OPEN_PATHS = ("/auth/login", "/oauth2callback")
"""Streamlit's routes that a browser without a sign-in has to reach."""

TARGET_COOKIE = "pistats_next"

FRESH_MS = 10 * 60_000
"""How old the provider's word may be when it becomes a sign-in: the way back takes seconds."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Whom the provider vouches for."""

    email: str


class Oidc:
    """The one place that knows how Streamlit keeps a login."""

    def __init__(self, settings: OidcSettings, dashboard: DashboardSettings, clock: Callable[[], int]) -> None:
        self._settings = settings
        self._base = (dashboard.public_url or f"http://{dashboard.host}:{dashboard.port}").rstrip("/")
        self._cookie_secret = secrets.token_hex(32)
        self._clock = clock

    @property
    def label(self) -> str | None:
        """What the button on the login page says; None when there is no provider."""
        return self._settings.label if self._settings.enabled else None

    def secrets(self) -> dict[str, Any]:
        """Streamlit's secrets, in the place of its `secrets.toml`."""
        if not self._settings.enabled:
            return {}
        return {
            "auth": {
                "redirect_uri": f"{self._base}/oauth2callback",
                "cookie_secret": self._cookie_secret,
                "client_id": self._settings.client_id or "",
                "client_secret": self._settings.client_secret or "",
                "server_metadata_url": self._settings.server_metadata_url or "",
            }
        }

    def passes(self, path: str) -> bool:
        """True for a path that belongs to the way to the provider and back."""
        return self._settings.enabled and path in OPEN_PATHS

    def start(self, target: str, secure: bool) -> Response:
        """To the provider; `target` is remembered for the way back."""
        answer = RedirectResponse(f"/auth/login?{urlencode({'provider': encode_provider_token('default')})}", 303)
        answer.headers["cache-control"] = "no-store"
        answer.set_cookie(TARGET_COOKIE, target, max_age=600, httponly=True, samesite="lax", secure=secure)
        return answer

    def claim(self, cookies: Mapping[str, str]) -> Claim | None:
        """Whom Streamlit's cookie names, when the provider said so just now and does not doubt the address."""
        if not self._settings.enabled or USER_COOKIE_NAME not in cookies:
            return None
        said = get_cookie_with_chunks(lambda name: self._signed(cookies, name), USER_COOKIE_NAME)
        try:
            user = json.loads(said or b"{}")
        except ValueError:
            return None
        issued, email = user.get("iat"), user.get("email")
        fresh = isinstance(issued, int | float) and abs(self._clock() - issued * 1000) <= FRESH_MS
        trusted = user.get("is_logged_in") is True and user.get("email_verified", True) is True
        return Claim(email) if fresh and trusted and isinstance(email, str) else None

    def role(self, claim: Claim) -> Role | None:
        """What the person may do, by the lists of the settings."""
        return oidc_role(self._settings, claim.email)

    def _signed(self, cookies: Mapping[str, str], name: str) -> bytes | None:
        value = cookies.get(name)
        return None if value is None else decode_signed_value(self._cookie_secret, name, value.encode("latin-1"))


def take_away(answer: Response, cookies: Mapping[str, str]) -> None:
    """Removes what Streamlit kept of the login: the gate's own sign-in takes its place."""
    ours = (USER_COOKIE_NAME, TOKENS_COOKIE_NAME, TARGET_COOKIE)
    for name in cookies:
        if name in ours or name.startswith(f"{USER_COOKIE_NAME}_"):
            answer.delete_cookie(name, path="/")
