"""A dead letter that only a person can mend: its event as JSON, to be changed and tried again."""

from collections.abc import Callable

import streamlit as st

from dashboard.parts import card
from dashboard.services import services
from pistats.consumer.dead_letters import DeadLetter, mend

SAYS = "Change what is wrong and replay it like this. It is counted once. If it fails again, what came is kept, too."


def mend_letter(letter: DeadLetter, say: Callable[[Callable[[], str]], None]) -> None:
    """Draws the event to be changed. `say` does what it is given and tells what came of it."""
    with card("mend", "Mend it by hand", SAYS), st.form(f"mend_{letter.id}", border=False):
        text = st.text_area("The event, as JSON", letter.draft, key=f"mended_{letter.id}", height=260)
        if st.form_submit_button("Replay it like this"):
            say(lambda: _mend(letter.id, text))


def _mend(letter_id: str, text: str) -> str:
    running = services()
    running.run(mend(running.shown.database, running.system, letter_id, text))
    return f"{letter_id} is tried again as you have mended it, within a second. It stays here if it fails again."
