"""The operations report as tables: every text formatted, every difference marked."""

from datetime import UTC, datetime

from dashboard.element import Data
from dashboard.grid_element import Tone, act, cell, column, grid, row
from pistats import format as fmt
from pistats.consumer.checkpoints import Standing
from pistats.jobs.runs import JobRun
from pistats.operations import OperationsReport
from pistats.reports.ledger import LedgerRow, totals
from pistats.status import PartitionReport

MAX_TEXT = 200


def partitions_grid(report: OperationsReport) -> Data:
    """Every partition: where its log begins and ends, how far the group is, how fast it moves."""
    columns = (
        column("Partition"),
        column("First offset", "The oldest record that is still there.", right=True),
        column("End offset", "One behind the newest record.", right=True),
        column("Committed", "Everything before it is counted.", right=True),
        column(
            "Lag", "End offset − committed offset, in events, and the age of the oldest one that waits.", right=True
        ),
        column("Events/s", "Stored in the last full minute.", right=True),
        column("On disk", right=True),
        column("Epoch", "Rises with every writer of the log.", right=True),
        column("Consumer"),
        column("State"),
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
            cell(lag, "bad" if one.lag_s > 60 else ""),
            cell(f"{events_per_s:,.1f}"),
            cell(size(one.bytes_on_disk)),
            cell(fmt.exact(one.epoch), "dim"),
            cell(one.consumer or "nobody", "dim" if one.consumer else "bad"),
            cell("; ".join(one.problems)[:MAX_TEXT], "bad") if one.problems else cell("well", "ok"),
        ]
    )


def ledger_grid(report: OperationsReport) -> Data:
    """The last minutes over all partitions, newest first, and their sum. What does not add up is red."""
    columns = (
        column("Minute, UTC", "When the records were appended to the log."),
        column("Appended", right=True),
        column("Enriched", right=True),
        column("Bots", right=True),
        column("Dead letters", right=True),
        column("Erased", right=True),
        column("Difference", "Appended less what became of it. Anything but 0 is lost or counted twice.", right=True),
        column("Archived", "Events in the warehouse.", right=True),
        column("Waiting", "Events that are on their way there.", right=True),
        column("Unarchived", "Counted less archived less waiting. Anything but 0 is an alarm.", right=True),
    )
    minutes: dict[int, list[LedgerRow]] = {}
    for one in report.ledger:
        minutes.setdefault(one.minute, []).append(one)
    rows = [_minute(clock(minute), found) for minute, found in sorted(minutes.items(), reverse=True)]
    if rows:
        rows.append(_minute("Sum", list(report.ledger), total=True))
    says = "appended = enriched + bots + dead letters + erased · counted = archived + waiting"
    return grid("Ledger", says, columns, rows, ("Nothing in the last minutes", "Rows appear as events are counted."))


def _minute(name: str, found: list[LedgerRow], *, total: bool = False) -> Data:
    sums = totals(found)
    difference, unarchived = sum(one.difference for one in found), sum(one.unarchived for one in found)
    counted = [cell(fmt.exact(sums[name])) for name in ("appended", "enriched", "bots", "dead_lettered", "erased")]
    stored = [cell(fmt.exact(sums[name])) for name in ("archived", "waiting")]
    return row([cell(name), *counted, _alarm(difference), *stored, _alarm(unarchived)], total=total)


def _alarm(value: int) -> Data:
    return cell(fmt.exact(value), "bad" if value else "dim")


def letters_grid(report: OperationsReport, *, may_act: bool) -> Data:
    """The newest dead letters. Once what was wrong is mended, a replay counts them."""
    columns = (column("Id"), column("Since, UTC"), column("Stage"), column("Reason"), column("Detail"), column("Event"))
    rows = [
        row(
            [
                cell(one.id),
                cell(stamp(one.created_time), "dim"),
                cell(one.stage),
                cell(one.reason),
                cell(one.detail[:MAX_TEXT]),
                cell(one.payload[:MAX_TEXT].decode("utf-8", "replace"), "dim"),
            ],
            [act("redo", one.id, "Replay")] if may_act else None,
        )
        for one in report.letters
    ]
    what = "event" if report.letters_count == 1 else "events"
    says = f"{fmt.exact(report.letters_count)} {what} that could not be enriched: mend what was wrong, then replay"
    return grid("Dead letters", says if rows else "", columns, rows, ("None", "Every event could be enriched."))


def jobs_grid(report: OperationsReport) -> Data:
    """Every scheduled job with its newest run."""
    columns = (
        column("Job"),
        column("Last run, UTC"),
        column("State"),
        column("Duration", right=True),
        column("Next look, UTC", "It runs then if there is work for it."),
        column("Result"),
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
    return grid("Jobs", "", columns, rows, ("No job is scheduled", "See the settings of `jobs`."))


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
    results = (run.result or {}).values()
    return ", ".join(
        f"{name.replace('_', ' ')} {value}" for one in results if isinstance(one, dict) for name, value in one.items()
    )


def _tone(run: JobRun | None) -> Tone:
    return "bad" if run is not None and run.error else "dim"


def _behind(stands: Standing) -> Data:
    if stands.lag_s is None:
        return cell("not begun" if stands.error is None else f"cannot begin: {stands.error}", "bad")
    return cell(fmt.duration(stands.lag_s), "bad" if stands.lag_s > 60 else "")


def groups_grid(report: OperationsReport, *, may_act: bool) -> Data:
    """Every consumer group. The live one is what all pages show."""
    columns = (
        column("Group"),
        column("State", "The readers show the live group; a shadow is consumed beside it."),
        column("From"),
        column("Behind", right=True),
        column("Since, UTC"),
    )
    rows = []
    for group, stands in report.groups:
        acts = (
            [act("promote", group.name, "Show it"), act("drop", group.name, "Drop")] if group.state == "shadow" else []
        )
        rows.append(
            row(
                [
                    cell(group.name),
                    cell(group.state, "ok" if group.state == "live" else ""),
                    cell(group.start_position, "dim"),
                    _behind(stands),
                    cell(stamp(group.created_time), "dim"),
                ],
                acts if may_act else None,
            )
        )
    return grid("Consumer groups", "", columns, rows, ("No group yet", "The supervisor makes one at its start."))


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
                    "bad" if (share or 0) > 0.9 else "",
                ),
            ]
        ),
        row([cell("Logs"), cell(size(disk.logs))]),
        row([cell("Warehouse"), cell(f"{size(disk.warehouse)} in {fmt.exact(disk.warehouse_files)} files")]),
        *(row([cell(name), cell(text)]) for name, text in report.versions.items()),
    ]
    return grid("Disk and versions", "", (column("What"), column("How much", right=True)), rows, ("", ""))


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
