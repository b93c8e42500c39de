"""The signed cookie: who is signed in, as what, until when."""

import hashlib
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from itsdangerous import BadData, TimestampSigner

from pistats.dashboard_access import DashboardAccess
from pistats.settings import OidcSettings

Role = Literal["admin", "viewer", "guest"]
"""A guest came by a share link: read-only, one site, three pages."""

Kind = Literal["password", "oidc", "share"]

ID_BYTES = 12
"""No two sign-ins have the same id."""


@dataclass(frozen=True, slots=True)
class SignIn:
    """A sign-in that is valid at the moment it was checked. `site`: the only one that it may see; None: all."""

    role: Role
    who: str
    expires_time: int
    site: str | None = None
    sign_in_id: str = ""

    @property
    def is_admin(self) -> bool:
        """May change things."""
        return self.role == "admin"

    def may_see(self, site: str) -> bool:
        """May read this site's numbers."""
        return self.site is None or self.site == site


class AccessSource(Protocol):
    """Where the gate reads who may enter; None until MongoDB has answered once."""

    @property
    def access(self) -> DashboardAccess | None: ...


class AccessKeeper(AccessSource, Protocol):
    """Where the gate also says that somebody is there, and who has signed out."""

    async def look(self) -> None:
        """Makes sure that `access` is what holds now, as far as that can be known."""

    async def end(self, sign_in_id: str, expires_time: int) -> None:
        """Ends a sign-in before its time (Unix ms)."""


class SignIns:
    """Makes and checks cookies. The server's clock decides; a changed password or list ends the sign-ins under it."""

    def __init__(self, source: AccessSource, sign_in_s: int, clock: Callable[[], int], oidc: OidcSettings) -> None:
        self.sign_in_s = sign_in_s
        self._source = source
        self._clock = clock
        self._oidc = oidc

    def issue(self, access: DashboardAccess, kind: Kind, who: str) -> str:
        """A cookie value, valid for `sign_in_s` from now. `who`: the role, the e-mail address or the share's id."""
        subject = urlsafe_b64encode(f"{kind}:{secrets.token_hex(ID_BYTES)}:{who}".encode()).decode()
        return self._signer(access, kind, who).sign(subject).decode()

    def of(self, cookies: Mapping[str, str]) -> SignIn | None:
        """The sign-in that a browser's cookies hold: a person's own comes before a share link's."""
        access = self._source.access
        if access is None:
            return None
        return next(iter(self._all(access, cookies)), None)

    def all(self, cookies: Mapping[str, str]) -> list[SignIn]:
        """Every sign-in that they hold."""
        access = self._source.access
        return [] if access is None else self._all(access, cookies)

    def _all(self, access: DashboardAccess, cookies: Mapping[str, str]) -> list[SignIn]:
        values = (cookies.get(name) for name in (cookie_name(access), share_cookie_name(access)))
        return [sign_in for value in values if (sign_in := self._check(access, value)) is not None]

    def _check(self, access: DashboardAccess, value: str | None) -> SignIn | None:
        """None when the value is forged, too old, signed out, or signed under an access that has changed."""
        try:
            subject = (value or "").rsplit(".", 2)[0]
            kind, sign_in_id, who = urlsafe_b64decode(subject).decode().split(":", 2)
            signer = self._signer(access, kind, who)
            signed = signer.unsign(value or "", max_age=self.sign_in_s, return_timestamp=True)[1]
        except (BadData, ValueError):
            return None
        if sign_in_id in access.signed_out:
            return None
        found = self._sign_in(access, kind, who, int(signed.timestamp() + self.sign_in_s) * 1000)
        return found and replace(found, sign_in_id=sign_in_id)

    def _sign_in(self, access: DashboardAccess, kind: str, who: str, expires_time: int) -> SignIn | None:
        """What the subject may do now: links are revoked and lists change while a cookie is still good."""
        if kind == "share":
            link = access.shares.get(who)
            return SignIn("guest", "share link", expires_time, link.site) if link else None
        role = oidc_role(self._oidc, who) if kind == "oidc" else who
        if role == "admin":
            return SignIn("admin", who, expires_time)
        return SignIn("viewer", who, expires_time) if role == "viewer" else None

    def _signer(self, access: DashboardAccess, kind: str, who: str) -> TimestampSigner:
        more = (access.viewer_password_hash or "none") if (kind, who) == ("password", "viewer") else ""
        return _ClockSigner(self._clock, access.cookie_secret + more)


def oidc_role(oidc: OidcSettings, email: str) -> Role | None:
    """What a person whose address the provider vouches for may do: the lists hold addresses and `*@domain`."""
    address = email.strip().lower()
    names = {address, "*@" + address.rpartition("@")[2]}
    if not oidc.enabled or "@" not in address:
        return None
    if names & {entry.strip().lower() for entry in oidc.admins}:
        return "admin"
    return "viewer" if names & {entry.strip().lower() for entry in oidc.viewers} else None


def cookie_name(access: DashboardAccess) -> str:
    """One name per system: browsers share cookies between ports, and two systems on one host must not collide."""
    return "pistats_" + hashlib.sha256(b"name" + access.cookie_secret.encode()).hexdigest()[:8]


def share_cookie_name(access: DashboardAccess) -> str:
    """A cookie of its own: opening a share link does not sign anyone out."""
    return cookie_name(access) + "_share"


class _ClockSigner(TimestampSigner):
    def __init__(self, clock: Callable[[], int], secret: str) -> None:
        super().__init__(secret, salt="pistats.dashboard.sign-in", digest_method=hashlib.sha256)
        self._clock = clock

    def get_timestamp(self) -> int:
        return self._clock() // 1000
