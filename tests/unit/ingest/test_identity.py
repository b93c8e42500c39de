"""Identity: stable buckets, addresses without their host part, visitors who cannot be traced."""

import pytest

from pistats.errors import ConfigurationError
from pistats.identity import anonymous_visitor, bucket_of, normal_ip, partition_of, truncate_ip
from pistats.ingest.client_ip import TrustedProxies


def test_buckets_never_change():
    """Stored files are grouped by bucket: if this fails, do not change the numbers but what broke them."""
    assert [bucket_of("news.example", f"v{n}") for n in range(6)] == BUCKETS_OF_V0_TO_V5
    assert bucket_of("other.example", "v0") != bucket_of("news.example", "v0")


BUCKETS_OF_V0_TO_V5 = [53, 53, 17, 22, 1, 49]


def test_buckets_and_partitions_are_even():
    counts = [0] * 64
    for number in range(64_000):
        counts[bucket_of("news.example", f"visitor-{number}")] += 1
    assert min(counts) > 850
    assert max(counts) < 1_150
    assert {partition_of(bucket, 4) for bucket in range(64)} == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("sent", "truncated", "whole"),
    [
        ("203.0.113.77", "203.0.113.0", "203.0.113.77"),
        (" 203.0.113.77:8080 ", "203.0.113.0", "203.0.113.77"),
        ("2001:0db8:85a3:1::8a2e", "2001:db8:85a3::", "2001:db8:85a3:1::8a2e"),
        ("[2001:db8::1]:443", "2001:db8::", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::", "fe80::1"),
        ("::ffff:203.0.113.77", "203.0.113.0", "203.0.113.77"),
        ("", None, None),
        ("localhost", None, None),
        ("1.2.3", None, None),
        ("1.2.3.4.5", None, None),
        ("x" * 10_000, None, None),
    ],
)
def test_addresses(sent, truncated, whole):
    assert truncate_ip(sent) == truncated
    assert normal_ip(sent) == whole


def test_an_anonymous_visitor_depends_on_every_part_and_on_the_salt():
    salt = b"s" * 32
    ids = {
        anonymous_visitor("a", "1.1.1.1", "UA", salt),
        anonymous_visitor("b", "1.1.1.1", "UA", salt),
        anonymous_visitor("a", "1.1.1.2", "UA", salt),
        anonymous_visitor("a", "1.1.1.1", "UB", salt),
        anonymous_visitor("a", "1.1.1.1", None, salt),
        anonymous_visitor("a", None, "1.1.1.1", salt),
        anonymous_visitor("a", "1.1.1.1", "UA", b"t" * 32),
    }
    assert len(ids) == 7
    assert all(one.startswith("anon_") and len(one) == 37 for one in ids)


def test_a_proxy_network_that_is_none_is_refused_at_start():
    with pytest.raises(ConfigurationError, match="trusted_proxies"):
        TrustedProxies(["10.0.0.0/33"])
