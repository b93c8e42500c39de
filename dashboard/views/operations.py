"""Operations: how the system is, and what can be done about it. Draws itself again every few seconds."""

from collections.abc import Sequence

import streamlit as st

from dashboard import operations_grids as grids
from dashboard.frame import signed_in
from dashboard.grid_element import show_grid
from dashboard.parts import STYLE, card, done, problem, said
from dashboard.services import services
from pistats.clock import now_ms
from pistats.consumer.dead_letters import parse_id
from pistats.consumer.groups import Groups
from pistats.consumer.promotion import promote_caught_up
from pistats.consumer.requests import Requests, redo_dead_letter
from pistats.errors import PistatsError
from pistats.operations import OperationsReport

REFRESH_S = 3.0
"""How old the page may be. Everything is asked for again, by one viewer of it at a time."""

SAID = "operations_said"
SAID_MS = 10_000
"""How long an answer stays; the page draws itself anew meanwhile."""


def show() -> None:
    """Draws the page. A viewer sees it, an admin can act."""
    st.html(STYLE)
    _numbers()
    if signed_in().is_admin:
        _replay()


@st.fragment(run_every=REFRESH_S)
def _numbers() -> None:
    running, may_act = services(), signed_in().is_admin
    report = running.run(running.operations.report(running.shown.database))
    _health(report)
    _said()
    show_grid("grid_partitions", grids.partitions_grid(report))
    show_grid("grid_ledger", grids.ledger_grid(report))
    show_grid("grid_letters", grids.letters_grid(report, may_act=may_act), _act)
    show_grid("grid_jobs", grids.jobs_grid(report))
    left, right = st.columns(2, gap="small")
    with left:
        show_grid("grid_groups", grids.groups_grid(report, may_act=may_act), _act)
    with right:
        show_grid("grid_machine", grids.machine_grid(report))


def _health(report: OperationsReport) -> None:
    system = report.system
    if system is None:
        problem(
            "health",
            "Asking the logs … If this stays, the supervisor is away: see `pistats status` and the logs of Ray.",
        )
    elif system.healthy:
        consumers = sum(consumer["alive"] for consumer in system.consumers)
        done(
            "health",
            f"✓ Everything is well: {len(system.partitions)} partitions, {consumers} consumers, "
            f"{system.lag_events:,} events waiting.",
        )
    else:
        problem("health", "\n".join(system.problems))


def _said() -> None:
    text, until = st.session_state.get(SAID, ("", 0))
    if now_ms() < until:
        done("said", text)


def _act(wanted: Sequence[str]) -> None:
    """What an admin has clicked twice. Anyone else's click is not heard."""
    if not signed_in().is_admin:
        return
    name, value = wanted
    running = services()
    groups = Groups(running.system, running.settings)
    try:
        if name == "redo":
            partition, offset = parse_id(value)
            running.run(Requests(running.shown.database).add([redo_dead_letter(partition, offset)]))
            text = f"{value} is tried again within a second. It stays here if it fails again."
        elif name == "promote":
            before = running.run(promote_caught_up(groups, value))
            text = f"Every page shows {value} from now on, within two seconds. {before} goes on in its shadow."
        else:
            running.run(groups.drop(value))
            text = f"{value} is being dropped."
        st.session_state[SAID] = (text, now_ms() + SAID_MS)
    except PistatsError as error:
        st.session_state[SAID] = (str(error), now_ms() + SAID_MS)


def _replay() -> None:
    with card(
        "replay", "Replay", "Consume the log again into a group beside the live one; show it when it has caught up."
    ):
        with st.form("replay", border=False), st.container(horizontal=True, vertical_alignment="bottom"):
            name = st.text_input("Group", placeholder="mended", max_chars=30)
            start = st.text_input(
                "From", "trim-horizon", help="trim-horizon, latest, offset:N or time:2026-11-23T10:00:00Z"
            )
            begun = st.form_submit_button("Begin")
        if begun:
            with said("replay"):
                running = services()
                group = running.run(Groups(running.system, running.settings).create(name.strip(), start.strip()))
                done("replay", f"{group.name} begins within seconds; its progress is in the table of groups.")
