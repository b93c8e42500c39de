"""Where the system of a data directory is running: written by `pistats up`, read by every other command."""

import errno
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

from pistats.errors import ConfigurationError

NOTE = "runtime.json"
LOCK = "up.lock"


@dataclass(frozen=True, slots=True)
class Runtime:
    """Addresses of one running system."""

    pid: int
    """Process id of `pistats up`, or 0 for a system that was deployed on a cluster."""
    ray_address: str
    ray_token_path: str | None
    """File with the token of the Ray cluster; None: the cluster asks for none."""
    mongodb_uri: str
    url: str
    """Base of the HTTP endpoint, without a slash at the end."""
    dashboard_url: str | None
    started_time: int
    jobs_url: str | None = None
    """Ray's job API, for `ray job submit --address`; None: Ray finds it from `ray_address`."""


def write(data: Path, runtime: Runtime) -> None:
    """Note where the system runs. Readable by its owner alone: the URI may hold a password."""
    staged = data / f"{NOTE}.new"
    staged.touch(mode=0o600)
    staged.write_text(json.dumps(asdict(runtime), indent=2))
    staged.replace(data / NOTE)


def read(data: Path) -> Runtime:
    """The system of `data`. Raises ConfigurationError when none is noted, the noted one has ended, or the note is not
    to be read.
    """
    try:
        runtime = Runtime(**json.loads((data / NOTE).read_text()))
    except FileNotFoundError:
        raise _not_running(data) from None
    except PermissionError:
        raise ConfigurationError(
            f"{data / NOTE} cannot be read: run this command as the user that runs `pistats up`."
        ) from None
    except (ValueError, TypeError) as error:
        raise ConfigurationError(
            f"{data / NOTE} is damaged ({error}): stop the system, delete the file, start again."
        ) from error
    if runtime.pid and not _is_locked(data):
        raise _not_running(data)
    return runtime


def forget(data: Path) -> None:
    """The system has stopped. May be repeated."""
    (data / NOTE).unlink(missing_ok=True)


@contextmanager
def hold(data: Path) -> Iterator[None]:
    """Be the only `pistats up` on `data` until the block ends, however it ends.

    Raises ConfigurationError that names the process which holds it.
    """
    with _lock_file(data) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(
                f"{data} is in use by `pistats up`, process {_holder(data)}: stop that one (Ctrl-C, or kill "
                f"{_holder(data)}), or choose another directory with --data and other ports."
            ) from None
        try:
            lock.truncate(0)
            os.write(lock.fileno(), str(os.getpid()).encode())  # unbuffered: a full disk is told here, once
        except OSError as error:
            raise _unusable(data, error) from error
        yield


def mend_directory(data: Path) -> str:
    """What to do when `data` cannot be made or written to."""
    return f"Choose another one with --data, or make it as root: install -d -m 700 -o {os.getuid()} {data}."


def _lock_file(data: Path) -> TextIO:
    """The open lock file in `data`, which is made where it is missing."""
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)  # visitors' events are for nobody else on this machine
        return (data / LOCK).open("a+")
    except OSError as error:
        raise _unusable(data, error) from error


def _unusable(data: Path, error: OSError) -> ConfigurationError:
    """An operating system names the file at most; a person needs to know which option it is about."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ConfigurationError(
            f"The disk of the data directory {data} is full: free space, or choose another --data."
        )
    return ConfigurationError(f"{data} cannot be the data directory: {error.strerror}. {mend_directory(data)}")


def _holder(data: Path) -> str:
    return (data / LOCK).read_text().strip() or "unknown"


def _is_locked(data: Path) -> bool:
    try:
        with (data / LOCK).open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def _not_running(data: Path) -> ConfigurationError:
    return ConfigurationError(
        f"No piStats runs on {data}. Start one with `pistats up --data {data}`, "
        "or name another directory with --data or PISTATS_DATA."
    )
