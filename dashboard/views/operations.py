"""Operations: how the system is, and what can be done about it. Draws itself again every few seconds."""

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from dashboard import operations_grids as grids
from dashboard import query_state
from dashboard.frame import admin_only, signed_in
from dashboard.grid_element import show_figures, show_grid
from dashboard.letters_grid import MAX_REDONE, letters_grid
from dashboard.mend_letter import mend_letter
from dashboard.parts import card, done, plain, problem
from dashboard.services import services
from pistats.clock import now_ms
from pistats.consumer.dead_letters import DeadLetters, Which, redo
from pistats.consumer.groups import GroupError, Groups
from pistats.consumer.promotion import promote_caught_up
from pistats.enrich import Reason
from pistats.errors import PistatsError
from pistats.operations import Letters, OperationsReport

REFRESH_S = 3.0
"""How old the page may be. Everything is asked for again, by one viewer of it at a time."""

SAID = "operations_said"
SAID_MS = 10_000
"""How long an answer stays; the page draws itself anew meanwhile."""

STAGE, REASON, LETTER = "stage", "reason", "letter"
"""In the address: which dead letters are listed, and the one that is open."""


def show() -> None:
    """Draws the page. A viewer sees it, an admin can act."""
    _numbers()


@st.fragment(run_every=REFRESH_S)
def _numbers() -> None:
    running, may_act = services(), signed_in().is_admin
    report = running.run(running.operations.report(running.shown.database, _which()))
    _health(report)
    show_grid("grid_partitions", grids.partitions_grid(report))
    show_grid("grid_ledger", grids.ledger_grid(report))
    _letters(report.letters, may_act=may_act)
    show_grid("grid_jobs", grids.jobs_grid(report))
    left, right = st.columns(2, gap="small")
    with left:
        show_grid("grid_groups", grids.groups_grid(report, may_act=may_act), _act)
        if may_act:
            _replay()
    with right:
        show_grid("grid_machine", grids.machine_grid(report))
    _said()


def _health(report: OperationsReport) -> None:
    with st.container():  # there also when all is well: what follows keeps its place among the elements
        if report.system is not None and report.system.problems:
            problem("health", "\n".join(report.system.problems))
    show_figures("figures", grids.figures(report))


def _which() -> Which:
    """The dead letters that the address asks for; a reason that there is not is none."""
    return _asked(query_state.value(STAGE), query_state.value(REASON))


def _asked(stage: str, reason: str) -> Which:
    return Which(stage or None, next((one for one in Reason if one == reason), None))


def _letters(letters: Letters, *, may_act: bool) -> None:
    asked = query_state.value(LETTER)
    opened = next((one for one in letters.newest if one.id == asked), None)
    show_grid("grid_letters", letters_grid(letters, opened, may_act=may_act), _act, choose=_choose, open=_open)
    with st.container():
        if opened is not None and may_act:
            mend_letter(opened, _say_now)
        elif asked and opened is None:
            plain(f"{asked} is not listed any more: it was counted meanwhile, or it is older than those above.")


def _choose(value: Sequence[str]) -> None:
    stage, reason = value or (None, None)
    query_state.put({STAGE: stage, REASON: reason, LETTER: None})


def _open(letter: str) -> None:
    query_state.put({LETTER: letter or None})


def _said() -> None:
    """At the foot of the window, and last of all, so that nothing moves: see `shell.css`."""
    tell, text, until = st.session_state.get(SAID, (done, "", 0))
    if now_ms() < until:
        tell("said", text)


def _say(what: Callable[[], str]) -> None:
    """Does it, and keeps what is to be said of it, or what the core refused in its own words."""
    try:
        tell, text = done, what()
    except PistatsError as error:
        tell, text = problem, str(error)
    st.session_state[SAID] = (tell, text, now_ms() + SAID_MS)


def _say_now(what: Callable[[], str]) -> None:
    """For what a form has sent, which is heard in the middle of a run."""
    admin_only()
    _say(what)
    st.rerun(scope="fragment")


def _act(wanted: Sequence[Any]) -> None:
    """What an admin has clicked twice. Anyone else's click is not heard."""
    admin_only()
    name, value = wanted
    _say(lambda: ACTS[name](value))


def _redo(letter: str) -> str:
    group = services().shown.database
    found = services().run(DeadLetters(group).get(letter))  # raises when someone else's replay has counted it
    services().run(redo(group, [(found.partition, found.offset)]))
    return f"{letter} is tried again within a second. It stays here if it fails again."


def _redo_all(value: Sequence[Any]) -> str:
    """As many as the button said, those first whose last try is longest ago: what came later was not agreed to."""
    stage, reason, count = value
    group, most = services().shown.database, max(1, min(int(count), MAX_REDONE))
    places = services().run(DeadLetters(group).places(_asked(str(stage), str(reason)), most))
    services().run(redo(group, places))
    return f"{len(places):,} are tried again within seconds. Those that fail again stay here."


def _promote(name: str) -> str:
    before = services().run(promote_caught_up(_groups(), name))
    return f"Every page shows {name} from now on, within two seconds. {before} goes on in its shadow."


def _drop(name: str) -> str:
    services().run(_groups().drop(name))
    return f"{name} is being dropped."


ACTS = {"redo": _redo, "redo_all": _redo_all, "promote": _promote, "drop": _drop}


def _groups() -> Groups:
    return Groups(services().system, services().settings)


def _replay() -> None:
    caption = "Consume the log again into a group beside the live one; show it when it has caught up."
    with (
        card("replay", "Replay into a new group", caption),
        st.form("replay", border=False),
        st.container(horizontal=True, vertical_alignment="bottom"),
    ):
        name = st.text_input("Group", placeholder="mended", max_chars=30)
        start = st.text_input(
            "From", "trim-horizon", help="trim-horizon, latest, offset:N or time:2026-11-23T10:00:00Z"
        )
        begun = st.form_submit_button("Begin")
    if begun:
        _say_now(lambda: _begin(name.strip(), start.strip()))


def _begin(name: str, start: str) -> str:
    if services().run(_groups().find(name)) is not None:
        raise GroupError(f"There is a group {name} already: choose another name, or drop it first.")
    group = services().run(_groups().create(name, start))
    return f"{group.name} begins within seconds; its progress is in the table of groups."
