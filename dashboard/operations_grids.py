"""The operations report as tables: every text formatted, every difference marked."""

from datetime import UTC, datetime

from dashboard.element import Data
from dashboard.grid_element import Tone, act, cell, column, figure, grid, row
from pistats import format as fmt
from pistats.jobs.runs import JobRun
from pistats.operations import GroupLine, OperationsReport
from pistats.reports.ledger import LedgerRow, totals
from pistats.status import PartitionReport

MAX_TEXT = 200

LATE_S = 60
FULL_SHARE = 0.9
SHOWN_MINUTES = 6
"""Rows of the ledger at first: the sum, and the newest minutes."""


def figures(report: OperationsReport) -> list[Data]:
    """The state of the system in one line."""
    return [_state(report), _pace(report), _waiting(report), _books(report), _letters(report), _disk(report)]


def _state(report: OperationsReport) -> Data:
    system = report.system
    if system is None:
        return figure("State", "Asking…", "If this stays, the supervisor is away: see `pistats status`", "dim")
    if not system.healthy:
        count = len(system.problems)
        return figure("State", f"{count} problem{'' if count == 1 else 's'}", "see above", "bad")
    consumers = sum(consumer["alive"] for consumer in system.consumers)
    says = f"{_count(len(system.partitions), 'partition')}, {_count(consumers, 'consumer')}"
    return figure("State", "All well", says, "ok")


def _pace(report: OperationsReport) -> Data:
    per_s = sum(report.events_per_s.values())
    return figure("Events/s", f"{per_s:,.1f}", "in the last full minute", term="stored_per_s")


def _waiting(report: OperationsReport) -> Data:
    system, term = report.system, "partition_lag"
    if system is None:
        return figure("Waiting", fmt.NOTHING, "events", "dim", term)
    tone: Tone = "bad" if system.lag_s > LATE_S else ""
    return figure("Waiting", fmt.exact(system.lag_events), f"events, {fmt.duration(system.lag_s)} behind", tone, term)


def _books(report: OperationsReport) -> Data:
    term = "ledger"
    if report.system is None:
        return figure("Ledger", fmt.NOTHING, "difference", "dim", term)
    off = abs(report.system.ledger["difference"]) + abs(report.system.ledger["unarchived"])
    off = off or int(any(problem.startswith("the ledger") for problem in report.system.problems))
    return figure(
        "Ledger", fmt.exact(off), "difference" if off else "difference: it adds up", "bad" if off else "", term
    )


def _letters(report: OperationsReport) -> Data:
    total = report.letters.total
    return figure("Dead letters", fmt.exact(total), "could not be enriched" if total else "every event was enriched")


def _disk(report: OperationsReport) -> Data:
    disk = report.disk
    share = disk.used / disk.total if disk.total else None
    says = f"{size(disk.total - disk.used)} free"
    return figure("Disk", fmt.percent(share), says, "bad" if (share or 0) > FULL_SHARE else "")


def _count(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def partitions_grid(report: OperationsReport) -> Data:
    """Every partition: where its log begins and ends, how far the group is, how fast it moves."""
    columns = (
        column("Partition"),
        column("First offset", "first_offset", right=True),
        column("End offset", "end_offset", right=True),
        column("Committed", "committed", right=True),
        column("Lag", "partition_lag", right=True),
        column("Events/s", "stored_per_s", right=True),
        column("On disk", right=True),
        column("Epoch", "epoch", right=True),
        column("Consumer"),
        column("State", long=True),
    )
    system = report.system
    rows = [
        _partition(one, report.events_per_s.get(one.partition, 0.0)) for one in (system.partitions if system else ())
    ]
    says = f"group {system.group}, {fmt.exact(system.lag_events)} events waiting" if system else ""
    return grid("Partitions", says, columns, rows, ("Asking the logs …", "The answer comes within seconds."))


def _partition(one: PartitionReport, events_per_s: float) -> Data:
    lag = f"{fmt.exact(one.lag_events)} · {fmt.duration(one.lag_s)}"
    return row(
        [
            cell(str(one.partition)),
            cell(fmt.exact(one.first_offset)),
            cell(fmt.exact(one.end_offset)),
            cell(fmt.exact(one.committed_offset)),
            cell(lag, "bad" if one.lag_s > LATE_S else ""),
            cell(f"{events_per_s:,.1f}"),
            cell(size(one.bytes_on_disk)),
            cell(fmt.exact(one.epoch), "dim"),
            cell(one.consumer or "nobody", "dim" if one.consumer else "bad"),
            cell("; ".join(one.problems)[:MAX_TEXT], "bad") if one.problems else cell("well", "ok"),
        ]
    )


def ledger_grid(report: OperationsReport) -> Data:
    """The last minutes over all partitions, newest first, below their sum. What does not add up is red."""
    columns = (
        column("Minute, UTC", "append_minute"),
        column("Appended", right=True),
        column("Enriched", right=True, wide=True),
        column("Bots", right=True, wide=True),
        column("Dead letters", right=True, wide=True),
        column("Erased", right=True, wide=True),
        column("Difference", "ledger_difference", right=True),
        column("Archived", "archived", right=True, wide=True),
        column("Waiting", "waiting", right=True, wide=True),
        column("Unarchived", "unarchived", right=True),
    )
    minutes: dict[int, list[LedgerRow]] = {}
    for one in report.ledger:
        minutes.setdefault(one.minute, []).append(one)
    rows = [_minute(clock(minute), found) for minute, found in sorted(minutes.items(), reverse=True)]
    if rows:
        rows.insert(0, _minute("Sum", list(report.ledger), total=True))
    says = "appended = enriched + bots + dead letters + erased · counted = archived + waiting"
    empty = ("Nothing in the last minutes", "Rows appear as events are counted.")
    return grid("Ledger", says, columns, rows, empty, short=True, fold=SHOWN_MINUTES)


def _minute(name: str, found: list[LedgerRow], *, total: bool = False) -> Data:
    sums = totals(found)
    difference, unarchived = sum(one.difference for one in found), sum(one.unarchived for one in found)
    counted = [cell(fmt.exact(sums[name])) for name in ("appended", "enriched", "bots", "dead_lettered", "erased")]
    stored = [cell(fmt.exact(sums[name])) for name in ("archived", "waiting")]
    return row([cell(name), *counted, _alarm(difference), *stored, _alarm(unarchived)], total=total)


def _alarm(value: int) -> Data:
    return cell(fmt.exact(value), "bad" if value else "dim")


def jobs_grid(report: OperationsReport) -> Data:
    """Every scheduled job with its newest run."""
    columns = (
        column("Job"),
        column("Last run, UTC"),
        column("State"),
        column("Duration", right=True),
        column("Next run, UTC"),
        column("Result", long=True),
    )
    rows = [
        row(
            [
                cell(line.job),
                *_run(line.last),
                cell(stamp(line.next_time), "dim"),
                cell(_outcome(line.last), _tone(line.last)),
            ]
        )
        for line in report.jobs
    ]
    return grid(
        "Jobs",
        "run by the schedule; one that fails is run again",
        columns,
        rows,
        ("No job is scheduled", "See the settings of `jobs`."),
    )


def _run(run: JobRun | None) -> list[Data]:
    if run is None:
        return [cell("not yet", "dim"), cell("", "dim"), cell("", "dim")]
    began = run.started_time or run.created_time
    took = fmt.duration(max(0, (run.ended_time or run.updated_time) - began) / 1000)
    tone: Tone = "ok" if run.state == "succeeded" else "bad" if run.state == "failed" else ""
    return [cell(stamp(began)), cell(run.state, tone), cell(took)]


def _outcome(run: JobRun | None) -> str:
    if run is None:
        return ""
    if run.error:
        return run.error[:MAX_TEXT]
    if not run.ended:
        done, total = run.progress.get("done"), run.progress.get("total")
        return f"{run.progress.get('step', '')} {done or ''}{f' of {total}' if total else ''}".strip()
    results = {name: one for name, one in (run.result or {}).items() if isinstance(one, dict)}
    told = {name: ", ".join(_told(what, value) for what, value in one.items()) for name, one in results.items()}
    return "; ".join(text if len(told) == 1 else f"{name}: {text}" for name, text in told.items())


def _told(what: str, value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        words = what.replace("_", " ")
        return size(value) if what == "bytes" else f"{fmt.exact(value)} {words[:-1] if value == 1 else words}"
    return f"{what.replace('_', ' ')} {value}"


def _tone(run: JobRun | None) -> Tone:
    return "bad" if run is not None and run.error else "dim"


def _behind(line: GroupLine) -> Data:
    stands = line.stands
    if stands.lag_s is None:
        return cell(*(("not begun", "dim") if stands.error is None else (f"cannot begin: {stands.error}", "bad")))
    events = "" if line.lag_events is None else f"{fmt.exact(line.lag_events)} · "
    late = line.group.state == "live" and stands.lag_s > LATE_S
    return cell(f"{events}{fmt.duration(stands.lag_s)}", "bad" if late else "")


def groups_grid(report: OperationsReport, *, may_act: bool) -> Data:
    """Every consumer group. The live one is what all pages show."""
    columns = (
        column("Group"),
        column("State", "group_state"),
        column("From"),
        column("Behind", "behind", right=True),
        column("Since, UTC"),
    )
    rows = [_group(line, may_act=may_act) for line in report.groups]
    return grid("Consumer groups", "", columns, rows, ("No group yet", "The supervisor makes one at its start."))


def _group(line: GroupLine, *, may_act: bool) -> Data:
    group = line.group
    acts = [
        act("promote", group.name, "Show it", group.name, "Yes, show it"),
        act("drop", group.name, "Drop", group.name, "Yes, drop it"),
    ]
    cells = [
        cell(group.name),
        cell(group.state, "ok" if group.state == "live" else ""),
        cell(group.start_position, "dim"),
        _behind(line),
        cell(stamp(group.created_time), "dim"),
    ]
    return row(cells, (acts if group.state == "shadow" else []) if may_act else None)


def machine_grid(report: OperationsReport) -> Data:
    """Disk and versions."""
    disk = report.disk
    share = disk.used / disk.total if disk.total else None
    rows = [
        row(
            [
                cell("Disk in use"),
                cell(
                    f"{size(disk.used)} of {size(disk.total)} · {fmt.percent(share)}",
                    "bad" if (share or 0) > FULL_SHARE else "",
                ),
            ]
        ),
        row([cell("Logs"), cell(size(disk.logs))]),
        row([cell("Warehouse"), cell(f"{size(disk.warehouse)} in {fmt.exact(disk.warehouse_files)} files")]),
        *(row([cell(name), cell(text)]) for name, text in report.versions.items()),
    ]
    columns = (column("What"), column("How much", right=True))
    return grid("Disk and versions", "", columns, rows, ("", ""), short=True)


def size(count: int | None) -> str:
    """Bytes as people read them: 12.3 MB."""
    if count is None:
        return fmt.NOTHING
    value, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return (
        f"{value:.0f}{fmt.NO_BREAK}{units[0]}"
        if value >= 100 or units[0] == "B"
        else f"{value:.1f}{fmt.NO_BREAK}{units[0]}"
    )


def stamp(time_ms: int) -> str:
    """24 Nov 15:04, UTC."""
    time = datetime.fromtimestamp(time_ms / 1000, UTC)
    return f"{time.day} {time:%b %H:%M}"


def clock(time_ms: int) -> str:
    """15:04, UTC."""
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%H:%M}"
