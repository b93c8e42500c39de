"""The dead letters as a table: which are listed, all that is known of one, and their replay."""

from dataclasses import replace

from dashboard.element import Data
from dashboard.grid_element import act, cell, choice, column, grid, row, whole
from dashboard.operations_grids import stamp
from pistats import format as fmt
from pistats.consumer.dead_letters import DeadLetter, LetterCount, Which
from pistats.operations import Letters

MAX_TEXT = 200
MAX_REDONE = 10_000
"""Replayed by one confirmation, those first whose last try is longest ago. The command line replays all there are."""


def letters_grid(letters: Letters, opened: DeadLetter | None, *, may_act: bool) -> Data:
    """The newest dead letters of those asked for. Once what was wrong is mended, a replay counts them."""
    columns = (
        column("Id"),
        column("Since, UTC"),
        column("Stage", "stage"),
        column("Reason"),
        column("Detail", long=True),
        column("Event", long=True),
    )
    rows = [_letter(one, opened, may_act=may_act) for one in letters.newest]
    choices = [_choice(letters, None), *(_choice(letters, one) for one in letters.counts)]
    acts = [_all(letters)] if may_act and letters.matching > 1 else []
    empty = ("None", "Every event could be enriched.") if not letters.total else ("None of these", "See all of them.")
    return grid("Dead letters", _says(letters, may_act=may_act), columns, rows, empty, acts=acts, choices=choices)


def _says(letters: Letters, *, may_act: bool) -> str:
    if not letters.total:
        return ""
    shown = len(letters.newest)
    newest = f" · the newest {shown} of {fmt.exact(letters.matching)}" if shown < letters.matching else ""
    waiting = f" · {fmt.exact(letters.redoing)} wait to be tried again" if letters.redoing else ""
    advice = ": mend what was wrong and replay them, or open one to mend it by hand" if may_act else ""
    return f"could not be enriched{advice}{newest}{waiting}"


def _choice(letters: Letters, one: LetterCount | None) -> Data:
    which = letters.which
    if one is None:
        return choice("All", [], fmt.exact(letters.total), chosen=which == Which())
    asked = (which.stage or one.stage, which.reason or one.reason)
    label = f"{one.reason.replace('_', ' ')} in {one.stage}"
    chosen = which != Which() and asked == (one.stage, one.reason)
    return choice(label, [one.stage, one.reason], fmt.exact(one.count), chosen=chosen)


def _all(letters: Letters) -> Data:
    count, which = min(letters.matching, MAX_REDONE), letters.which
    value = [which.stage or "", which.reason or "", count]
    label = f"Replay all {fmt.exact(count)}" if count == letters.matching else f"Replay {fmt.exact(count)}"
    return act("redo_all", value, label, sure=f"Yes, replay these {fmt.exact(count)}")


def _letter(one: DeadLetter, opened: DeadLetter | None, *, may_act: bool) -> Data:
    cells = [
        cell(one.id),
        cell(stamp(one.created_time), "dim"),
        cell(one.stage),
        cell(one.reason.replace("_", " ")),
        cell(one.detail[:MAX_TEXT]),
        cell(one.text[:MAX_TEXT], "dim"),
    ]
    acts = [act("redo", one.id, "Replay", one.id, "Yes, replay")] if may_act else None
    more = _whole(opened) if opened is not None and opened.id == one.id else None
    return row(cells, acts, opens=one.id, more=more)


def _whole(one: DeadLetter) -> Data:
    facts = [
        ("Where", f"partition {one.partition}, offset {fmt.exact(one.offset)}"),
        ("Appended", f"{stamp(one.append_minute)} UTC"),
        ("Last tried", f"{stamp(one.created_time)} UTC, by piStats {one.code_version}"),
        ("Detail", one.detail),
        *_bytes(one),
    ]
    return whole(f"The event of dead letter {one.id}", facts, one.text)


def _bytes(one: DeadLetter) -> list[tuple[str, str]]:
    seen = f"{fmt.exact(len(one.payload))} bytes; what cannot be seen is written as an escape"
    if one.received is None:
        return [("Received", seen)]
    return [("Received", replace(one, payload=one.received).text), ("Mended", seen)]
