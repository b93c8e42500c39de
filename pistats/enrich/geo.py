"""Where an IP address is, from an MMDB file: countries out of the box, cities with a file of the user's own."""

import ipaddress
import lzma
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import maxminddb

from pistats.errors import ConfigurationError
from pistats.identity import IPV4

COUNTRIES = Path(__file__).parent / "data" / "country.mmdb.xz"
"""Vendored; see `data/README.md`."""

IP_CACHE = 16_384
"""Distinct addresses remembered: truncated ones repeat."""

RESERVED_IN = frozenset(map(str, (0, 10, 100, 127, 169, 172, 192, 198, 203, *range(224, 256))))
"""First numbers of the IPv4 addresses of which some are private or reserved."""


@dataclass(frozen=True, slots=True)
class Place:
    """Country as ISO 3166-1 alpha-2, region and city by their English names; None is unknown."""

    country: str | None = None
    region: str | None = None
    city: str | None = None


NOWHERE = Place()


class Geo:
    """Looks addresses up in one MMDB file, mapped into memory and shared between processes by the system."""

    def __init__(self, reader: maxminddb.Reader) -> None:
        self._reader = reader
        self.place_of = lru_cache(maxsize=IP_CACHE)(self._place_of)

    @classmethod
    def open(cls, path: Path) -> "Geo":
        """A city or country file of DB-IP, MaxMind or ip-location-db. `ConfigurationError` when it is none.

        Uses maxminddb's C extension (1 µs a look-up): its Python reader would take fifty times as long, so without
        the extension this fails instead of being slow.
        """
        try:
            return cls(maxminddb.open_database(path, maxminddb.MODE_MMAP_EXT))
        except (OSError, ValueError, maxminddb.InvalidDatabaseError) as error:
            raise ConfigurationError(
                f"The GeoIP database {path} cannot be read ({error}): GEOIP_DB has to name an MMDB file, "
                "such as DB-IP's or GeoLite2's city file; unset it to use the countries that come with piStats."
            ) from error

    @classmethod
    def standard(cls) -> "Geo":
        """The vendored countries, unpacked into a file that is gone when the process ends."""
        with tempfile.NamedTemporaryFile(suffix=".mmdb") as unpacked:
            unpacked.write(lzma.decompress(COUNTRIES.read_bytes()))
            unpacked.flush()
            return cls.open(Path(unpacked.name))

    def _place_of(self, ip: str) -> Place:
        """The place of an address; unknown for private, reserved and malformed ones. Never raises.

        Those are not looked up at all: the vendored file puts 192.168.1.0 in Australia.
        """
        found = self._reader.get(ip) if _is_global(ip) else None
        return place_from(found) if isinstance(found, dict) else NOWHERE


def _is_global(ip: str) -> bool:
    """Whether it is an address that can be somewhere. `ipaddress` alone takes ten times as long to find that out."""
    if IPV4.fullmatch(ip) and ip.partition(".")[0] not in RESERVED_IN:
        return True
    try:
        return ipaddress.ip_address(ip).is_global
    except ValueError:
        return False


def place_from(record: dict[str, Any]) -> Place:
    """Either schema: MaxMind's and DB-IP's nested one, or the flat one of ip-location-db."""
    if "country_code" in record:
        return Place(record["country_code"] or None, record.get("state1") or None, record.get("city") or None)
    country = record.get("country") or record.get("registered_country") or {}
    regions = record.get("subdivisions") or [{}]
    return Place(country.get("iso_code"), _name(regions[0]), _name(record.get("city") or {}))


def _name(thing: dict[str, Any]) -> str | None:
    names = thing.get("names") or {}
    name = names.get("en")
    return name if isinstance(name, str) and name else None
