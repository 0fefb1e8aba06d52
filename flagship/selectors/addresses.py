"""From where a request comes."""

from __future__ import annotations

import ipaddress
from functools import cache, lru_cache

from django.conf import settings
from django.http import HttpRequest

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

UNKNOWN = "unknown"


def address_of(request: HttpRequest) -> str:
    """Return the address a request came from, as the peer's connection shows it.

    X-Forwarded-For is believed only where TRUSTED_PROXIES wrote it: if the peer is one of them,
    the address is the last in the header that is none of them. What a client wrote itself stands
    further left and is never reached. An entry that is no address ends the search at the proxy
    that passed it on.
    """
    trusted = _networks(tuple(settings.TRUSTED_PROXIES))
    found = _parse(str(request.META.get("REMOTE_ADDR", "")))
    if found is None:
        return UNKNOWN
    passed_on = request.headers.get("X-Forwarded-For", "").split(",")
    for text in reversed(passed_on):
        if not any(found in network for network in trusted):
            break
        before = _parse(text.strip())
        if before is None:
            break
        found = before
    return str(found)


@lru_cache(maxsize=4096)
def subscriber_of(address: str) -> str:
    """Return whom an address belongs to: IPv6 hands out networks of 64 bits, not addresses."""
    found = _parse(address)
    if isinstance(found, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((found, 64), strict=False))
    return address


@lru_cache(maxsize=4096)
def _parse(text: str) -> Address | None:
    """Read an address, with or without a port; IPv4 written as IPv6 is IPv4."""
    bare = text
    if text.startswith("["):
        bare = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        bare = text.partition(":")[0]
    try:
        found = ipaddress.ip_address(bare.partition("%")[0])
    except ValueError:
        return None
    mapped = getattr(found, "ipv4_mapped", None)
    return mapped or found


@cache
def _networks(texts: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)
