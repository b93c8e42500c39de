"""The enrichment and the ingest read simulated events as they are meant: no visitor is a bot, no place unknown."""

from ipaddress import IPv4Address
from random import Random

import orjson
import pytest

from pistats.enrich.bot import BotFilter
from pistats.enrich.geo import Geo
from pistats.enrich.user_agent import device_of
from pistats.ingest.parse import parse
from pistats.settings import IngestSettings
from pistats.simulate.devices import CRAWLERS, DEVICES, Device
from pistats.simulate.places import PLACES
from pistats.simulate.traffic import Traffic


@pytest.mark.parametrize("device", DEVICES, ids=lambda device: device.user_agent[12:60])
def test_a_visitors_device_is_recognised(device: Device) -> None:
    assert BotFilter.standard().name_of(device.user_agent) is None
    assert device_of(device.user_agent) == device.kind


def test_crawlers_are_recognised() -> None:
    bots = BotFilter.standard()
    assert all(bots.name_of(crawler.user_agent) for crawler in CRAWLERS)


def test_addresses_are_in_the_country_they_stand_for() -> None:
    geo, random = Geo.standard(), Random(1)
    for place in PLACES:
        addresses = [str(IPv4Address(place.first_address + random.randrange(place.addresses))) for _ in range(50)]
        assert {geo.place_of(address).country for address in addresses} == {place.country}


def test_ingest_takes_every_event() -> None:
    traffic = Traffic(Random(1), rate=100, visitors=500, site_url="https://meridian.example")
    events = [{**traffic.next_event(), "event_id": str(n)} for n in range(500)]
    parsed = parse(orjson.dumps({"events": events}), IngestSettings())
    assert (len(parsed.events), parsed.rejected) == (500, [])
