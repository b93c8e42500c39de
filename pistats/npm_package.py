"""Files out of published npm packages, for the scripts that refresh vendored data. Needs `npm`."""

import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class PackageFile:
    """One file of a package, and what is noted beside the vendored data."""

    package: str
    version: str
    file: str
    integrity: str
    content: bytes

    @property
    def note(self) -> str:
        """JSON that says where the content came from."""
        keys = ("package", "version", "file", "integrity")
        return json.dumps({key: getattr(self, key) for key in keys}, indent=2) + "\n"


def package_file(package: str, member: str) -> PackageFile:
    """The file of the newest version. Ends the process with a hint when there is no npm."""
    npm = shutil.which("npm")
    if npm is None:
        sys.exit("npm was not found: install Node.js, then run this again.")
    with tempfile.TemporaryDirectory() as folder:
        packed = subprocess.run(  # noqa: S603
            [npm, "pack", "--json", package], cwd=folder, check=True, capture_output=True, text=True
        )
        (answer,) = json.loads(packed.stdout)
        with tarfile.open(Path(folder) / answer["filename"]) as archive:
            archive.extract(member, folder, filter="data")
        content = (Path(folder) / member).read_bytes()
    return PackageFile(package, str(answer["version"]), member, str(answer["integrity"]), content)
