"""Every crawler that the patterns know is found; the ordinary browsers of people are not."""

import pytest
from crawleruseragents import CRAWLER_USER_AGENTS_DATA

from pistats.enrich.bot import EXCLUDED, BotFilter

PEOPLE = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 "
    "Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0",
    "Mozilla/5.0 (Linux; Android 14; Pixel 8 Build/AP3A.240617.008) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Version/4.0 Chrome/126.0.0.0 Mobile Safari/537.36 [FB_IAB/FB4A;FBAV/470.0.0.0;] MetaIAB Facebook",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Code/1.93.1 Chrome/124.0 "
    "Electron/30.4.0 Safari/537.36",
)


@pytest.fixture(scope="module")
def bots() -> BotFilter:
    return BotFilter.standard()


def test_every_known_crawler_is_found_and_named(bots: BotFilter) -> None:
    instances = [
        instance
        for crawler in CRAWLER_USER_AGENTS_DATA
        if crawler["pattern"] not in EXCLUDED
        for instance in crawler["instances"]
    ]

    assert len(instances) > 1_000
    assert [instance for instance in instances if not bots.name_of(instance)] == []


@pytest.mark.parametrize("user_agent", PEOPLE)
def test_people_are_no_bots(bots: BotFilter, user_agent: str) -> None:
    assert bots.name_of(user_agent) is None


def test_the_excluded_patterns_still_exist() -> None:
    assert {crawler["pattern"] for crawler in CRAWLER_USER_AGENTS_DATA} >= EXCLUDED


def test_http_libraries_are_told_from_crawlers(bots: BotFilter) -> None:
    assert bots.is_http_library("python-requests/2.32")
    assert bots.is_http_library("curl/8.5")
    assert not bots.is_http_library("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)")
    assert not bots.is_http_library(PEOPLE[0])
