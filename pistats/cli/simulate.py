"""`pistats simulate`: realistic visitors as load, and the record of what was acknowledged."""

import asyncio
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from random import Random
from typing import Annotated

import typer

from pistats.cli.console import Console
from pistats.cli.options import DEFAULT_DATA, DataOption
from pistats.cli.send import endpoint_of
from pistats.send.client import delivery_to
from pistats.send.delivery import Delivery, RetryPolicy
from pistats.simulate.load import Load, LoadReport
from pistats.simulate.traffic import Traffic

REQUESTS = 64
"""Requests in flight at most; further batches wait their turn."""
SHOW_S = 0.5


def simulate(
    key: Annotated[str, typer.Option(help="Write key of the site.", envvar="PISTATS_WRITE_KEY")],
    url: Annotated[str | None, typer.Option(help="Base of the HTTP endpoint. Default: the system of --data.")] = None,
    rate: Annotated[float, typer.Option(min=0.01, help="Events a second, whether or not the server keeps up.")] = 20.0,
    visitors: Annotated[int, typer.Option(min=1, help="Distinct visitors at most.")] = 5_000,
    seconds: Annotated[float, typer.Option(min=0, help="How long; 0: until Ctrl-C.")] = 0.0,
    seed: Annotated[int | None, typer.Option(help="Same seed, same visits. Default: random.")] = None,
    batch: Annotated[int, typer.Option(min=1, max=1000, help="Events in one request.")] = 50,
    acked: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Write the id of every acknowledged event here, one a line.")
    ] = None,
    patience: Annotated[float, typer.Option(min=0, help="Seconds to go on trying a request that fails.")] = 900.0,
    site_url: Annotated[str, typer.Option(help="Address of the simulated site.")] = "https://meridian.example",
    quiet: Annotated[bool, typer.Option("--quiet", help="Only the final counts.")] = False,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Send what realistic visitors would: sessions from many countries, sources and devices, and a topic that trends.

    Open loop: events are due at the rate. A request that fails is sent again with the same event ids until the server
    answers, so an outage delays events and loses none. The seed fixes visitors, pages and their order; event ids are
    new in every run, so that a second run counts. Ctrl-C ends with the counts.

    Exit 0: every event was acknowledged. Exit 1: some were rejected or never answered.

    Examples: pistats simulate --key pw_… · pistats simulate --key pw_… --rate 500 --seconds 60 --seed 7 --acked ids.txt
    """
    endpoint = endpoint_of(url, data)
    traffic = Traffic(Random(seed), rate=rate, visitors=visitors, site_url=site_url)  # noqa: S311
    policy = RetryPolicy(give_up_after_s=patience)
    console = Console(stderr=True, quiet=quiet)

    async def run() -> tuple[LoadReport, Delivery]:
        with _acknowledgements(acked) as note:
            async with delivery_to(endpoint, key, policy, connections=REQUESTS) as delivery:
                load = Load(
                    traffic.next_event,
                    lambda: secrets.token_hex(16),
                    delivery,
                    rate=rate,
                    batch_events=batch,
                    requests=REQUESTS,
                    on_acknowledged=note,
                )
                async with _shown(load, delivery, console):
                    await load.run(seconds or None, _stop_on_signals())
                return load.report, delivery

    report, delivery = asyncio.run(run())
    _print(report, delivery)
    raise typer.Exit(0 if report.complete else 1)


def _stop_on_signals() -> asyncio.Event:
    """Set by the first Ctrl-C or SIGTERM; the second one has its usual effect."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal(number: signal.Signals) -> None:
        stop.set()
        loop.remove_signal_handler(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal, number)
    return stop


@contextmanager
def _acknowledgements(path: Path | None) -> Iterator[Callable[[Sequence[str]], None]]:
    """Writes ids line by line, flushed with every answer: a killed generator has noted all that it was told."""
    if path is None:
        yield lambda ids: None  # noqa: ARG005
        return
    with path.open("w", encoding="ascii") as file:

        def note(ids: Sequence[str]) -> None:
            file.write("".join(f"{event_id}\n" for event_id in ids))
            file.flush()

        yield note


@asynccontextmanager
async def _shown(load: Load, delivery: Delivery, console: Console) -> AsyncIterator[None]:
    """A status line while the block runs."""

    async def show() -> None:
        with console.status("") as status:
            while True:
                report, counts = load.report, delivery.counts
                retries = f" · {counts.retried} retries ({counts.last_problem})" if counts.retried else ""
                counted = f"sent {report.sent:,} · acknowledged {report.acknowledged:,} · waiting {report.pending:,}"
                status.update(counted + retries)
                await asyncio.sleep(SHOW_S)

    task = asyncio.create_task(show())
    try:
        yield
    finally:
        task.cancel()


def _print(report: LoadReport, delivery: Delivery) -> None:
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    if report.refusal:
        errors.print(f"stopped: {report.refusal}", markup=False, style="red")
    for problem, times in delivery.counts.problems.items():
        errors.print(f"{times} × {problem}", markup=False)
    p50, p99 = report.latency_ms(0.5), report.latency_ms(0.99)
    latency = "no answers" if p50 is None or p99 is None else f"p50 {p50:.1f} ms p99 {p99:.1f} ms"
    sys.stdout.write(
        f"sent {report.sent} · acknowledged {report.acknowledged} · accepted {report.accepted}"
        f" · duplicates {report.duplicates} · rejected {report.rejected} · not delivered {report.undelivered}"
        f" · requests {delivery.counts.requests} · retried requests {delivery.counts.retried} · {latency}\n"
    )
    sys.stdout.flush()
