"""Where simulated visitors are: countries, their languages, and address blocks of large access providers."""

from dataclasses import dataclass
from ipaddress import IPv4Network


@dataclass(frozen=True, slots=True)
class Place:
    """A country: its share of visitors, its browsers' languages, and one IPv4 block."""

    country: str
    weight: float
    languages: tuple[str, ...]
    first_address: int
    addresses: int


_PLACES = """
IN 24 en-IN,hi-IN,en-IN 49.36.0.0/14
US 20 en-US,en-US,es-US 73.32.0.0/11
GB 9 en-GB 86.128.0.0/11
DE 7 de-DE,de-DE,en-DE 79.192.0.0/11
FR 5 fr-FR 90.0.0.0/11
BR 6 pt-BR 177.32.0.0/14
JP 4 ja-JP 126.0.0.0/10
CA 4 en-CA,fr-CA 99.224.0.0/12
AU 4 en-AU 1.128.0.0/11
NL 2 nl-NL,en-NL 84.24.0.0/13
ES 3 es-ES 83.32.0.0/12
IT 3 it-IT 79.0.0.0/12
SE 1.5 sv-SE 90.224.0.0/13
PL 2 pl-PL 83.0.0.0/12
MX 2.5 es-MX 189.128.0.0/12
ZA 1 en-ZA 105.224.0.0/14
KR 1.5 ko-KR 121.128.0.0/11
ID 2 id-ID 36.64.0.0/12
TR 2 tr-TR 78.160.0.0/12
"""


def _read(line: str) -> Place:
    country, weight, languages, block = line.split()
    network = IPv4Network(block)
    return Place(country, float(weight), tuple(languages.split(",")), int(network[0]), network.num_addresses)


PLACES = tuple(_read(line) for line in _PLACES.strip().splitlines())
