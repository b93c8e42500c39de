"""What changes something is heard from an admin of that moment alone, whatever an earlier run has prepared."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
from streamlit.runtime.scriptrunner import StopException

from dashboard import annotate, share_links_card, visitor_actions
from dashboard.question import Asker
from dashboard.sign_in import Role, SignIn
from dashboard.views import operations, site_settings

ASKER = Asker(SimpleNamespace(name="shop.example"), None, None, True)  # type: ignore[arg-type]

CHANGES: dict[str, Callable[[], Any]] = {
    "act": lambda: operations._act(["drop", "mended"]),
    "mend": lambda: operations._say_now(lambda: operations._begin("mended", "latest")),
    "rotate": lambda: site_settings._rotate("shop.example", "write"),
    "revoke": lambda: share_links_card._revoke("an id"),
    "erase": lambda: visitor_actions.erase(ASKER, "v1"),
    "annotation": lambda: annotate.remove_annotation(ASKER, "1"),
}


class TouchedError(Exception):
    """The change was about to be made."""


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("role", ["admin", "viewer", "guest"])
def test_only_an_admin_is_heard(monkeypatch: pytest.MonkeyPatch, role: Role, change: str) -> None:
    def touched() -> NoReturn:
        raise TouchedError

    for module in (operations, site_settings, share_links_card, visitor_actions, annotate):
        monkeypatch.setattr(module, "services", touched)
    for name in ("dashboard.frame.signed_in", "dashboard.question.signed_in"):
        monkeypatch.setattr(name, lambda: SignIn(role, role, 0))
    try:
        CHANGES[change]()
        heard = False
    except TouchedError:
        heard = True
    except StopException:
        heard = False
    assert heard == (role == "admin")
