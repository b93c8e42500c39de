"""Sign-in by a real OpenID Connect provider: the dashboard sends the browser there and takes its word back."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
from oidc_provider_mock import User, run_server_in_thread

from tests.browser.running_dashboard import Dashboard, running_dashboard

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
"""The provider is a thread of this process, and its own library's warnings are not ours."""

ADMIN, VIEWER, STRANGER = "jane@shop.example", "john@shop.example", "mallory@evil.example"
UNSURE = "unsure@shop.example"
PAGE = {"accept": "text/html"}


@pytest.fixture
def provider() -> Iterator[str]:
    """The address of a provider that knows four people."""
    people = [
        User(sub=email, claims={"email": email, "email_verified": email != UNSURE})
        for email in (ADMIN, VIEWER, STRANGER, UNSURE)
    ]
    with run_server_in_thread(user_claims=people) as server:
        yield f"http://127.0.0.1:{server.server_port}"


@pytest.fixture
async def dashboard(mongo_uri: str, tmp_path: Path, provider: str) -> AsyncIterator[Dashboard]:
    more = {
        "PISTATS_OIDC__SERVER_METADATA_URL": f"{provider}/.well-known/openid-configuration",
        "PISTATS_OIDC__CLIENT_ID": "pistats",
        "PISTATS_OIDC__CLIENT_SECRET": "a secret",
        "PISTATS_OIDC__LABEL": "Example <ID>",
        "PISTATS_OIDC__ADMINS": f'["{ADMIN}"]',
        "PISTATS_OIDC__VIEWERS": '["*@shop.example"]',
    }
    async with running_dashboard(mongo_uri, tmp_path, more) as running:
        yield running


@dataclass
class Browser:
    """Follows redirects by hand, and signs in at the provider as `email`."""

    session: aiohttp.ClientSession
    dashboard: Dashboard
    email: str

    async def sign_in(self, target: str = "/history?site=shop.example") -> aiohttp.ClientResponse:
        answer = await self.session.get(f"{self.dashboard.url}/login/oidc", params={"next": target})
        assert urlsplit(str(answer.url)).port != urlsplit(self.dashboard.url).port, "not sent to the provider"
        return await self.session.post(answer.url, data={"sub": self.email}, headers=PAGE)

    async def status(self) -> int:
        check = f"{self.dashboard.url}/auth/check"
        async with self.session.get(check, headers={"accept": "*/*"}) as answer:
            return answer.status


@pytest.fixture
async def browser(dashboard: Dashboard) -> AsyncIterator[Browser]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True), headers=PAGE) as session:
        yield Browser(session, dashboard, ADMIN)


async def test_a_listed_person_comes_back_signed_in(browser: Browser) -> None:
    login = await browser.session.get(f"{browser.dashboard.url}/login")
    assert "Continue with Example &lt;ID&gt;" in await login.text()
    answer = await browser.sign_in()
    assert str(answer.url) == f"{browser.dashboard.url}/history?site=shop.example"
    assert await browser.status() == 204
    assert not [cookie.key for cookie in browser.session.cookie_jar if cookie.key.startswith("_streamlit_user")]


async def test_everyone_else_stays_outside(browser: Browser) -> None:
    for email in (STRANGER, UNSURE):
        browser.email = email
        answer = await browser.sign_in()
        assert answer.status in (401, 403) or answer.url.path == "/login"
        assert await browser.status() == 401
        browser.session.cookie_jar.clear()


async def test_a_callback_that_nobody_asked_for_signs_nobody_in(browser: Browser) -> None:
    await browser.session.get(f"{browser.dashboard.url}/oauth2callback", params={"code": "x", "state": "y"})
    assert await browser.status() == 401
