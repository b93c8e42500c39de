"""What a job is told, the same for every job: `python -m jobs.NAME --from DATE --to DATE --site NAME …`."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from hashlib import blake2s

JOBS = ("archive", "rollup", "retention", "compact", "parity")
"""The jobs that `pistats job` submits and the schedule runs. `jobs/NAME.py` is each one's shell."""


@dataclass(frozen=True, slots=True)
class JobArguments:
    """What to work on. None: everything that the job finds to do."""

    from_date: date | None = None
    to_date: date | None = None
    """Inclusive."""
    site: str | None = None
    group: str | None = None
    """A consumer group; None: every group that is not being dropped."""
    run_id: str | None = None
    """Names this run; None: the job's submission id, or a new one."""
    files: tuple[str, ...] = ()
    """For jobs that read files: their paths, as the node sees them where the job runs."""
    options: tuple[str, ...] = ()
    """Words that only this job knows, as `--verify`."""

    def words(self) -> list[str]:
        """The same arguments as the words of a command line."""
        named = {
            "--from": self.from_date,
            "--to": self.to_date,
            "--site": self.site,
            "--group": self.group,
            "--run-id": self.run_id,
        }
        given = [word for name, value in named.items() if value is not None for word in (name, str(value))]
        return [*given, *self.options, *self.files]

    def digest(self) -> str:
        """Ten letters that are the same for the same work, whatever the run is called."""
        words = replace(self, run_id=None).words()
        return blake2s("\x1f".join(words).encode(), digest_size=5).hexdigest()


def parse_arguments(
    name: str, words: Sequence[str], *, options: Sequence[str] = (), reads_files: bool = False
) -> JobArguments:
    """Read a job's command line. Ends the process with 2 and a message for wrong usage, as argparse does.

    `options`: the words that this job knows beside those of all jobs, as `--verify`.
    """
    parser = argparse.ArgumentParser(prog=f"python -m jobs.{name}")
    parser.add_argument("--from", dest="from_date", type=date.fromisoformat, metavar="DATE", help="first date, UTC")
    parser.add_argument("--to", dest="to_date", type=date.fromisoformat, metavar="DATE", help="last date, inclusive")
    parser.add_argument("--site", metavar="NAME", help="one site only")
    parser.add_argument("--group", metavar="NAME", help="one consumer group only")
    parser.add_argument("--run-id", metavar="ID", help="what the run is called; a second run of that name continues it")
    if reads_files:
        parser.add_argument("files", nargs="+", metavar="FILE")
    for option in options:
        parser.add_argument(option, dest="options", action="append_const", const=option)
    given = parser.parse_args(words)
    if given.from_date and given.to_date and given.from_date > given.to_date:
        parser.error(f"--from {given.from_date} is after --to {given.to_date}")
    return JobArguments(
        given.from_date,
        given.to_date,
        given.site,
        given.group,
        given.run_id,
        tuple(getattr(given, "files", ())),
        tuple(given.options or ()) if options else (),
    )
