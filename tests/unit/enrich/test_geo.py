"""Countries come out of the box; a file of another schema gives regions and cities by the same adapter."""

from ipaddress import IPv4Address
from pathlib import Path

import pytest

from pistats.enrich.geo import NOWHERE, RESERVED_IN, Geo, Place, place_from
from pistats.errors import ConfigurationError


@pytest.fixture(scope="module")
def geo() -> Geo:
    return Geo.standard()


@pytest.mark.parametrize(
    ("ip", "country"),
    [
        ("8.8.8.0", "US"),
        ("49.37.1.0", "IN"),
        ("5.9.0.0", "DE"),
        ("81.2.69.0", "GB"),
        ("133.1.2.0", "JP"),
        ("200.160.2.0", "BR"),
        ("223.5.5.0", "CN"),
        ("62.210.1.0", "FR"),
        ("2405:200::", "IN"),
        ("127.0.0.1", None),
        ("10.0.0.0", None),
        ("192.168.1.0", None),
        ("172.16.9.0", None),
        ("fd00::", None),
        ("::1", None),
        ("not an address", None),
        ("", None),
    ],
)
def test_vendored_countries(geo: Geo, ip: str, country: str | None) -> None:
    assert geo.place_of(ip) == Place(country)


def test_an_address_that_is_taken_for_a_public_one_is_public() -> None:
    """As Python's own module has it, which has no public name for its list."""
    reserved = [*IPv4Address._constants._private_networks, IPv4Address._constants._public_network]
    assert len(reserved) > 10
    for network in reserved:
        first, last = int(network[0]) >> 24, int(network[-1]) >> 24
        assert {str(number) for number in range(first, last + 1)} <= RESERVED_IN, network


def test_the_nested_schema_of_maxmind_and_db_ip() -> None:
    record = {
        "country": {"iso_code": "DE", "names": {"en": "Germany"}},
        "subdivisions": [{"iso_code": "BE", "names": {"en": "Land Berlin"}}],
        "city": {"names": {"de": "Berlin", "en": "Berlin"}},
    }

    assert place_from(record) == Place("DE", "Land Berlin", "Berlin")
    assert place_from({"registered_country": {"iso_code": "FR"}}) == Place("FR")
    assert place_from({}) == NOWHERE


def test_the_flat_schema_of_ip_location_db() -> None:
    assert place_from({"country_code": "IN", "state1": "Kerala", "city": "Kochi"}) == Place("IN", "Kerala", "Kochi")
    assert place_from({"country_code": ""}) == NOWHERE


def test_a_file_that_is_no_database_says_what_to_do(tmp_path: Path) -> None:
    wrong = tmp_path / "city.mmdb"
    wrong.write_bytes(b"not a database")

    with pytest.raises(ConfigurationError, match="GEOIP_DB"):
        Geo.open(wrong)
    with pytest.raises(ConfigurationError, match="GEOIP_DB"):
        Geo.open(tmp_path / "missing.mmdb")
