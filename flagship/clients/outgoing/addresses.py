"""Which addresses are public (pure; reliability-security 6.4).

`is_global` alone is no filter: it passes private addresses in other clothes (NAT64, 6to4,
IPv4-compatible), site-local ones and multicast.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

_CLOSED: Final = tuple(
    ip_network(network)
    for network in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16"),
        *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        # A public address that leads to the host below: a metadata service of virtual machines.
        "168.63.129.16/32",
        # IPv4 as SIIT translates it; ::ffff:0:0/96, one group shorter, is unwrapped below.
        "::ffff:0:0:0/96",
        *("::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/32", "2001:db8::/32"),
        *("2002::/16", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8"),
    )
)


def is_public(text: str) -> bool:
    """Whether an address is one of the public internet; text that is no address is not.

    An IPv4 address inside an IPv6 one is judged as itself; a zone makes an address local.
    """
    try:
        address: IPv4Address | IPv6Address = ip_address(text)
    except ValueError:
        return False
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return False
        address = address.ipv4_mapped or address
    inside = (network for network in _CLOSED if network.version == address.version)
    return address.is_global and not any(address in network for network in inside)
