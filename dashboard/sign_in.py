"""The signed cookie: who is signed in, until when."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from itsdangerous import BadData, TimestampSigner

from pistats.dashboard_access import DashboardAccess

ADMIN = "admin"
"""The one role so far: the holder of the password may do everything."""


@dataclass(frozen=True, slots=True)
class SignIn:
    """A sign-in that is valid at the moment it was checked."""

    role: str
    expires_time: int


class SignIns:
    """Makes and checks the cookie's value. The server's clock decides; changing the access ends every sign-in."""

    def __init__(self, sign_in_s: int, clock: Callable[[], int]) -> None:
        self._sign_in_s = sign_in_s
        self._clock = clock

    def issue(self, access: DashboardAccess) -> str:
        """A cookie value that is valid for `sign_in_s` from now."""
        return self._signer(access).sign(ADMIN).decode()

    def check(self, access: DashboardAccess, value: str | None) -> SignIn | None:
        """The sign-in behind a cookie value, or None when it is forged, too old or signed under an earlier access."""
        if not value:
            return None
        try:
            role, signed = self._signer(access).unsign(value, max_age=self._sign_in_s, return_timestamp=True)
        except BadData:
            return None
        return SignIn(role.decode(), int(signed.timestamp() + self._sign_in_s) * 1000)

    def _signer(self, access: DashboardAccess) -> TimestampSigner:
        return _ClockSigner(self._clock, access.cookie_secret)


def cookie_name(access: DashboardAccess) -> str:
    """One name per system: browsers share cookies between ports, and two systems on one host must not collide."""
    return "pistats_" + hashlib.sha256(b"name" + access.cookie_secret.encode()).hexdigest()[:8]


class _ClockSigner(TimestampSigner):
    def __init__(self, clock: Callable[[], int], secret: str) -> None:
        super().__init__(secret, salt="pistats.dashboard.sign-in", digest_method=hashlib.sha256)
        self._clock = clock

    def get_timestamp(self) -> int:
        return self._clock() // 1000
