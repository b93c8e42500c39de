"""Which address a request came from, when proxies stand in between.

The rule: begin with the peer of the connection. As long as the address at hand is a trusted proxy, step to the next
hop in `X-Forwarded-For`, from the right, because each proxy appends whom it saw. The first address that is no trusted
proxy is the client: what stands left of it was written by the client and proves nothing. When every hop is trusted,
the client is itself in a trusted network and the left-most hop counts. A hop that is no address ends the search
without an answer.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_network

from pistats.errors import ConfigurationError
from pistats.identity import ADDRESSES_KEPT, parse_ip


class TrustedProxies:
    """The networks whose word in `X-Forwarded-For` is believed."""

    def __init__(self, networks: Sequence[str]) -> None:
        """Raises ConfigurationError when one is no network such as 10.0.0.0/8."""
        try:
            self._networks = [ip_network(network) for network in networks]
        except ValueError as error:
            raise ConfigurationError(
                f"ingest.trusted_proxies: {error}. Write networks such as 10.0.0.0/8 or 192.0.2.7/32."
            ) from None
        self._known: dict[str, bool] = {}

    def client_ip(self, peer: str | None, forwarded_for: str) -> str | None:
        """The client's address as sent, or None when it cannot be told."""
        if peer is None or not (forwarded_for and self._trusts(peer)):
            return peer
        hop: str | None = peer
        for text in reversed(forwarded_for.split(",")):
            hop = text.strip()
            if parse_ip(hop) is None:
                return None
            if not self._trusts(hop):
                return hop
        return hop

    def _trusts(self, ip: str) -> bool:
        known = self._known.get(ip)
        if known is None:
            if len(self._known) >= ADDRESSES_KEPT:
                self._known.clear()
            known = self._known[ip] = self._contains(parse_ip(ip))
        return known

    def _contains(self, address: IPv4Address | IPv6Address | None) -> bool:
        return address is not None and any(address in network for network in self._networks)
