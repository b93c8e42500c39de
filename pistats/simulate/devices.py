"""What simulated visitors browse with: user agents as browsers and crawlers really send them, with their share."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Device:
    """A user agent with the screens it comes with; `weight` is its share among its kind."""

    kind: str
    weight: float
    user_agent: str
    screens: tuple[str, ...]


_LAPTOPS = ("1920x1080", "1440x900", "1536x864", "2560x1440", "1366x768")
_PHONES = ("390x844", "412x915", "360x800", "393x873")
_IPHONES = ("390x844", "393x852", "430x932", "375x812")
_TABLETS = ("820x1180", "800x1280", "1024x1366")

_WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64)"
_MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)"
_LINUX = "Mozilla/5.0 (X11; Linux x86_64)"
_WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
_SAFARI = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
_GOOGLEBOT = (
    "Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X Build/MMB29P) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/141.0.7390.122 Mobile Safari/537.36 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
)

_SAMSUNG = (
    "Mozilla/5.0 (Linux; Android 14; SM-A546E) AppleWebKit/537.36 (KHTML, like Gecko) "
    "SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36"
)


def _android(model: str, chrome: int) -> str:
    return f"Mozilla/5.0 (Linux; Android {model}) {_WEBKIT} Chrome/{chrome}.0.0.0 Mobile Safari/537.36"


def _iphone(version: str) -> str:
    system = version.replace(".", "_")
    phone = f"Mozilla/5.0 (iPhone; CPU iPhone OS {system} like Mac OS X)"
    return f"{phone} {_SAFARI} Version/{version} Mobile/15E148 Safari/604.1"


DEVICES = (
    Device("desktop", 22, f"{_WINDOWS} {_WEBKIT} Chrome/142.0.0.0 Safari/537.36", _LAPTOPS),
    Device("desktop", 8, f"{_WINDOWS} {_WEBKIT} Chrome/141.0.0.0 Safari/537.36", _LAPTOPS),
    Device("desktop", 9, f"{_WINDOWS} {_WEBKIT} Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0", _LAPTOPS),
    Device("desktop", 5, "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:144.0) Gecko/20100101 Firefox/144.0", _LAPTOPS),
    Device("desktop", 2, f"{_WINDOWS} {_WEBKIT} Chrome/140.0.0.0 Safari/537.36 OPR/124.0.0.0", _LAPTOPS),
    Device("desktop", 9, f"{_MAC} {_WEBKIT} Chrome/142.0.0.0 Safari/537.36", ("1440x900", "1512x982", "1728x1117")),
    Device("desktop", 8, f"{_MAC} {_SAFARI} Version/18.6 Safari/605.1.15", ("1440x900", "1512x982", "1728x1117")),
    Device("desktop", 2, "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0", _LAPTOPS),
    Device("desktop", 2, f"{_LINUX} {_WEBKIT} Chrome/142.0.0.0 Safari/537.36", _LAPTOPS),
    Device("mobile", 30, _android("10; K", 142), _PHONES),
    Device("mobile", 6, _android("14; SM-S918B", 141), _PHONES),
    Device("mobile", 4, _android("13; Redmi Note 12", 140), _PHONES),
    Device("mobile", 28, _iphone("18.6"), _IPHONES),
    Device("mobile", 8, _iphone("17.6"), _IPHONES),
    Device("mobile", 6, _SAMSUNG, _PHONES),
    Device("mobile", 3, "Mozilla/5.0 (Android 15; Mobile; rv:144.0) Gecko/144.0 Firefox/144.0", _PHONES),
    Device(
        "tablet",
        6,
        f"Mozilla/5.0 (iPad; CPU OS 18_6 like Mac OS X) {_SAFARI} Version/18.6 Mobile/15E148 Safari/604.1",
        _TABLETS,
    ),
    Device("tablet", 4, f"Mozilla/5.0 (Linux; Android 14; SM-X710) {_WEBKIT} Chrome/142.0.0.0 Safari/537.36", _TABLETS),
)

CRAWLERS = (
    Device("bot", 6, _GOOGLEBOT, ("412x732",)),
    Device("bot", 3, "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)", ("1024x768",)),
    Device("bot", 3, "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)", ("1024x768",)),
    Device(
        "bot",
        4,
        "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
        ("1024x768",),
    ),
    Device(
        "bot",
        2,
        f"{_LINUX} {_WEBKIT} HeadlessChrome/141.0.0.0 Safari/537.36",
        ("800x600",),
    ),
)
