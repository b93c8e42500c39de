"""Who sent an event, and where it therefore lives: visitor ids, addresses without their host part, buckets, partitions.

Pure functions of their arguments. `bucket_of` may never change: stored files are grouped by it.
"""

import hashlib
import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from xxhash import xxh3_64_intdigest

from pistats.settings import BUCKETS

SEPARATOR = "\x1f"
"""Stands between the parts of a hashed or stored key. A site's name never contains it."""

ANONYMOUS = "anon_"
"""Begins the visitor ids that we make ourselves: they change every day, so nobody returns under one."""

ADDRESSES_KEPT = 16_384
"""Parsed addresses remembered in memory: a busy minute's visitors, about 3 MB."""

_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
IPV4 = re.compile(rf"((?:{_OCTET}\.){{3}}){_OCTET}")
"""An IPv4 address in its usual form, as nearly all are; the group is its /24. Ten times faster than `ipaddress`."""

IPV4_HOST_BITS = 8
IPV6_HOST_BITS = 80
"""What truncation clears: IPv4 keeps its /24 and IPv6 its /48, the block of one site or household."""


def bucket_of(site: str, visitor_id: str) -> int:
    """The visitor's bucket, 0 to 63, the same for ever and on every machine."""
    return xxh3_64_intdigest(f"{site}{SEPARATOR}{visitor_id}".encode()) % BUCKETS


def partition_of(bucket: int, partitions: int) -> int:
    """The stream partition that holds a bucket: all of a visitor's events are in one, in order."""
    return bucket % partitions


def event_key(site: str, event_id: str) -> bytes:
    """The dedupe key of an event: an event id is remembered per site."""
    return f"{site}{SEPARATOR}{event_id}".encode()


def anonymous_visitor(site: str, ip: str | None, user_agent: str | None, salt: bytes) -> str:
    """A visitor id for who sent none: cannot be traced back once the day's salt is deleted (BLAKE2b, keyed)."""
    parts = SEPARATOR.join((site, ip or "", user_agent or ""))
    return ANONYMOUS + hashlib.blake2b(parts.encode(), digest_size=16, key=salt).hexdigest()


def truncate_ip(ip: str) -> str | None:
    """The address without its host part: IPv4 /24, IPv6 /48. None when it is no address."""
    if plain := IPV4.fullmatch(ip):
        return f"{plain[1]}0"
    address = parse_ip(ip)
    return None if address is None else _truncated(address)


def normal_ip(ip: str) -> str | None:
    """The address in its usual form, whole. None when it is no address."""
    if IPV4.fullmatch(ip):
        return ip
    address = parse_ip(ip)
    return None if address is None else str(address)


@lru_cache(ADDRESSES_KEPT)
def parse_ip(text: str) -> IPv4Address | IPv6Address | None:
    """The address in `text`, also where a port or a zone stands behind it. IPv4 inside IPv6 comes out as IPv4."""
    host = text.strip()
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


@lru_cache(ADDRESSES_KEPT)
def _truncated(address: IPv4Address | IPv6Address) -> str:
    host_bits = IPV4_HOST_BITS if isinstance(address, IPv4Address) else IPV6_HOST_BITS
    return str(type(address)(int(address) >> host_bits << host_bits))
